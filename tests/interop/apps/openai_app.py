"""A program on openai-python: chat with tools, a streamed chat, responses with tools, and streamed responses."""

import json
import os
import sys

from openai import OpenAI

TONE = "You add numbers for a customer of {shop}.\nAnswer the question."
ADD = "Adds two numbers."
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


def chat(client, messages):
    messages = list(messages)
    tool = {"type": "function", "function": {"name": "add", "description": ADD, "parameters": PARAMETERS}}
    for _ in range(3):
        reply = client.chat.completions.create(model="gpt-5-mini", messages=messages, tools=[tool])
        assert reply.usage.prompt_tokens > 0 and reply.usage.prompt_tokens_details.cached_tokens > 0
        message = reply.choices[0].message
        if not message.tool_calls:
            return message.content
        messages.append(message)
        for call in message.tool_calls:
            result = str(sum(json.loads(call.function.arguments).values()))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    return "too many turns"


def streamed_chat(client, messages):
    options = {"include_usage": True}
    text, tokens = "", 0
    for chunk in client.chat.completions.create(
        model="gpt-5-mini", messages=messages, stream=True, stream_options=options
    ):
        for choice in chunk.choices:
            text += choice.delta.content or ""
        tokens += chunk.usage.completion_tokens if chunk.usage else 0
    assert tokens > 0
    return text


def responses(client, tone, question):
    tool = {"type": "function", "name": "add", "description": ADD, "parameters": PARAMETERS, "strict": False}
    items = [{"role": "user", "content": question}]
    for _ in range(3):
        reply = client.responses.create(model="gpt-5-mini", instructions=tone, input=items, tools=[tool])
        assert reply.status == "completed" and reply.usage.input_tokens > 0
        calls = [item for item in reply.output if item.type == "function_call"]
        if not calls:
            return reply.output_text
        items += reply.output
        for call in calls:
            result = str(sum(json.loads(call.arguments).values()))
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
    return "too many turns"


def streamed_responses(client, tone, question):
    text = ""
    with client.responses.stream(model="gpt-5-mini", instructions=tone, input=question) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
        final = stream.get_final_response()
    assert final.output_text == text
    return text


def answer(client, inputs):
    tone, question = TONE.format(shop="Corner & Sons"), inputs["question"]
    messages = [{"role": "system", "content": tone}, {"role": "user", "content": question}]
    found = [
        chat(client, messages),
        streamed_chat(client, messages),
        responses(client, tone, question),
        streamed_responses(client, tone, question),
    ]
    return {"sum": found[0] if len(set(found)) == 1 else "; ".join(found)}


def listen():
    """The same program as a service. It says its port."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            client = OpenAI(base_url=asked["base_url"], api_key=asked["api_key"])
            body = json.dumps({"outputs": answer(client, asked["inputs"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    print(service.server_port, flush=True)
    service.serve_forever()


assert "canary" not in str(os.environ)
if sys.argv[1:] == ["listen"]:
    listen()
elif sys.argv[1:] == ["serve"]:
    from promptopt_bridge import serve

    serve(lambda inputs, question: answer(OpenAI(**question.openai), inputs))
else:
    print(json.dumps(answer(OpenAI(), json.load(sys.stdin))))
