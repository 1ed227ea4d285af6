"""A program that nobody wrote for promptopt: it reads a question, asks a model in its own words, and prints the answer."""

import json
import os
import sys
import urllib.request

TONE = "Answer with one word.\n\nThe user is {user}."


def ask(base, key, question, user):
    messages = [
        {"role": "system", "content": TONE.replace("{user}", user)},
        {"role": "user", "content": question},
    ]
    body = json.dumps({"model": "any", "messages": messages, "temperature": 0, "user": "u-1"}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    request = urllib.request.Request(base + "/chat/completions", body, headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["choices"][0]["message"]["content"]


def serve():
    # Clients are often made before the first question, and want a key.
    assert os.environ["OPENAI_API_KEY"] and os.environ["OPENAI_BASE_URL"]
    for line in sys.stdin:
        asked = json.loads(line)
        question = asked["inputs"]["question"]
        if question == "die":
            print("out of patience", file=sys.stderr, flush=True)
            os._exit(3)
        if question == "stuck":
            import time

            time.sleep(600)
        try:
            answer = {"outputs": {"answer": ask(asked["base_url"], asked["api_key"], question, "Ann")}}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps({"id": asked["id"], **answer}), flush=True)


def main():
    mode = sys.argv[1] if len(sys.argv) > 1 else "ask"
    if mode == "serve":
        return serve()
    if mode == "flood":
        while True:
            sys.stdout.write("x" * 65536)
    if mode == "hang":
        import time

        print("waiting for the clerk at", os.environ["OPENAI_BASE_URL"], file=sys.stderr, flush=True)
        time.sleep(600)
    if mode == "fail":
        sys.exit("no such customer, key " + os.environ["OPENAI_API_KEY"])
    if mode == "args":
        question, user = sys.argv[2], os.environ["CUSTOMER"]
    else:
        inputs = json.load(sys.stdin)
        question, user = inputs["question"], inputs.get("user", "Ann")
    print("thinking", file=sys.stderr)
    print(ask(os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"], question, user))


main()
