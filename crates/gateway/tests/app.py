"""A program that nobody wrote for promptopt: it reads a question, asks a model in its own words, and prints the answer."""

import json
import os
import sys
import urllib.request

TONE = "Answer with one word.\n\nThe user is {user}."


def post(base, key, place, body):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    request = urllib.request.Request(base + place, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def ask(base, key, question, user, model="any", tone=TONE):
    messages = [
        {"role": "system", "content": tone.replace("{user}", user)},
        {"role": "user", "content": question},
    ]
    body = {"model": model, "messages": messages, "temperature": 0, "user": "u-1"}
    return post(base, key, "/chat/completions", body)["choices"][0]["message"]["content"]


def answer(asked, count):
    """The answer of a program that stays, with what it is told on its command line to do."""
    base, key, question = asked["base_url"], asked["api_key"], asked["inputs"]["question"]
    if sys.argv[2:] == ["counting"]:
        question += f" ({count})"
    if sys.argv[2:] == ["installing"]:
        # It installs texts and demos by itself, and tells what its predictor did.
        tone = asked["components"]["tone"] + " " + json.dumps(asked["demos"]["tone"])
        said = ask(base, key, question, "Ann", tone=tone)
        step = {"component": "tone", "inputs": {"question": question}, "outputs": {"answer": said}}
        return {"outputs": {"answer": said}, "steps": [step]}
    return {"outputs": {"answer": ask(base, key, question, "Ann")}}


def serve():
    # Clients are often made before the first question, and want a key.
    assert os.environ["OPENAI_API_KEY"] and os.environ["OPENAI_BASE_URL"]
    for count, line in enumerate(sys.stdin):
        asked = json.loads(line)
        question = asked["inputs"]["question"]
        if question == "die":
            print("out of patience", file=sys.stderr, flush=True)
            os._exit(3)
        if question == "stuck":
            import time

            time.sleep(600)
        try:
            answered = answer(asked, count)
        except Exception as error:
            answered = {"error": repr(error)}
        print(json.dumps({"id": asked["id"], **answered}), flush=True)


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
    base, key = os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
    if mode == "models" and question == "vectors":
        print(post(base, key, "/embeddings", {"model": question, "input": ["tea"]})["data"][0]["embedding"][0])
        return
    if mode == "models":
        print(ask(base, key, question, user, model=question))
        return
    print(ask(base, key, question, user))


main()
