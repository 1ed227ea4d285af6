"""Programs that mean no good, or know no better. What they do is their first argument."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlparse


def post(base, key, question, body=None):
    """Status and body of a call."""
    at = urlparse(base)
    messages = [{"role": "system", "content": "Answer."}, {"role": "user", "content": question}]
    body = body or json.dumps({"model": "any", "messages": messages}).encode()
    connection = http.client.HTTPConnection(at.hostname, at.port)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
    connection.request("POST", at.path + "/chat/completions", body, headers)
    reply = connection.getresponse()
    return reply.status, reply.read().decode()


def said(reply):
    status, body = reply
    if status != 200:
        sys.exit(f"HTTP {status}: {json.loads(body)['error']['message']}")
    return json.loads(body)["choices"][0]["message"]["content"]


def run(mode, base, key, question):
    if mode == "flood":
        seen = []

        def ask():
            for _ in range(20):
                seen.append(post(base, key, question))

        threads = [threading.Thread(target=ask) for _ in range(100)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        with open(question, "w") as file:
            json.dump([len(seen), sum(status == 200 for status, _ in seen), max(seen)[1]], file)
        return "I do not mind"
    if mode == "large":
        return said(post(base, key, question, b"x" * (100 << 20)))
    if mode == "stranger":
        at = urlparse(base)
        bare = f"http://{at.hostname}:{at.port}"
        in_header, in_path = post(bare + "/v1", question, question), post(f"{bare}/s/{question}/v1", key, question)
        assert in_header == in_path, (in_header, in_path)
        status, body = in_header
        return f"HTTP {status}: {json.loads(body)['error']['message']}"
    if mode == "half-open":
        at = urlparse(base)
        held = [socket.create_connection((at.hostname, at.port)) for _ in range(100)]
        [one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-le") for one in held]
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 90\r\n\r\n{{"
        held += [socket.create_connection((at.hostname, at.port)) for _ in range(20)]
        [one.sendall(head.encode()) for one in held[100:]]
        return said(post(base, key, question))
    if mode == "hang-up":
        at = urlparse(base)
        body = json.dumps({"model": "any", "messages": [{"role": "user", "content": question}]})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
        with socket.create_connection((at.hostname, at.port)) as connection:
            connection.sendall((head + body).encode())
            time.sleep(0.2)
        return "gone"
    if mode in ("fork", "fork-away"):
        # It keeps the pipes of its parent open.
        child = subprocess.Popen(["sleep", "1000"], start_new_session=mode == "fork-away")
        with open(question, "w") as file:
            file.write(str(child.pid))
        return "I have a child"
    if mode == "shout":
        for _ in range(200):
            sys.stderr.write("x" * (1 << 20))
        return said(post(base, key, question))
    if mode == "deaf":
        sys.stdin.close()
        return said(post(base, key, question))
    sys.exit(f"there is no mode {mode}")


def serve(mode):
    if mode == "closing":
        os.close(0)
        time.sleep(1000)
    if mode == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    for line in sys.stdin:
        asked = json.loads(line)
        number, question = asked["id"], asked["inputs"]["question"]

        def tell(outputs, number=number):
            print(json.dumps({"id": number, "outputs": outputs}), flush=True)

        if question == "mute":
            os.close(1)
            time.sleep(1000)
        if mode == "wrong":
            tell({"answer": "not yours"}, number + 1000)
            tell({"answer": "nobody's"}, -1)
            tell({"answer": "nobody's"}, "x")
        if mode == "twice":
            tell({"answer": "first"})
            tell({"answer": "second"})
        if mode == "garbage":
            sys.stdout.buffer.write(b"\xff\x00{]\n[1]\n{}\n\n")
            sys.stdout.write("x" * (1 << 20) + "\n")
            tell([1, 2])
        if mode == "late":
            # The first question is never answered, the others are.
            time.sleep(1000 if question == "slow" else 0)
            tell({"answer": question})


if sys.argv[1] == "serve":
    serve(sys.argv[2])
else:
    question = sys.argv[2] if len(sys.argv) > 2 else json.load(sys.stdin)["question"]
    print(run(sys.argv[1], os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"], question))
