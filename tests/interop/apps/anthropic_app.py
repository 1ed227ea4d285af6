"""A program on anthropic-python: messages with tools, whole and streamed."""

import os

from anthropic import Anthropic

from promptopt_bridge import serve

TONE = "You add numbers for a customer of {shop}.\nAnswer the question."
ADD = "Adds two numbers."
TOOL = {
    "name": "add",
    "description": ADD,
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


def asked(ask, question):
    """Turns of a chat until no tool is called any more."""
    messages = [{"role": "user", "content": question}]
    for _ in range(3):
        reply = ask(messages)
        assert reply.usage.input_tokens > 0 and reply.usage.output_tokens > 0
        calls = [block for block in reply.content if block.type == "tool_use"]
        assert (reply.stop_reason == "tool_use") == bool(calls), reply.stop_reason
        if not calls:
            return "".join(block.text for block in reply.content if block.type == "text")
        messages.append({"role": "assistant", "content": reply.content})
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": str(sum(call.input.values()))}
            for call in calls
        ]
        messages.append({"role": "user", "content": results})
    return "too many turns"


def answer(client, inputs):
    # A system prompt as blocks, with a mark of the cache, as agents send it.
    system = [{"type": "text", "text": TONE.format(shop="Corner & Sons"), "cache_control": {"type": "ephemeral"}}]
    asks = {"model": "claude-sonnet-5", "max_tokens": 500, "system": system, "tools": [TOOL]}

    def whole(messages):
        return client.messages.create(messages=messages, **asks)

    def streamed(messages):
        with client.messages.stream(messages=messages, **asks) as stream:
            said = "".join(stream.text_stream)
            final = stream.get_final_message()
        assert said == "".join(block.text for block in final.content if block.type == "text")
        return final

    found = [asked(whole, inputs["question"]), asked(streamed, inputs["question"])]
    return {"sum": found[0] if len(set(found)) == 1 else "; ".join(found)}


assert "canary" not in str(os.environ)
serve(lambda inputs, question: answer(Anthropic(**question.anthropic), inputs))
