"""Optimizes programs that call models by clients we did not write, and compares promptopt's books with what the server counted,
and what goes between promptopt and the programs with its schema.

Called by run.sh with the command, a scratch folder, the interpreters with the clients and with DSPy, and, where there is npm,
the folder of the `openai` package.
"""

import base64
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
import tomllib
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jsonschema

promptopt, scratch, clients, dspy, *openai_package = (Path(argument).absolute() for argument in sys.argv[1:])
root = Path(__file__).resolve().parents[2]
shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)
differences, checked = [], 0
KEY = "secret-canary"
# What a prompt must say for the model to be of use, in each of its texts.
TAUGHT = "Write the sum alone."
WAYS = ["No words around it.", "Check it once.", "Digits are enough.", "Read both numbers first.", "Leave out the question."]
FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]")
# Dollars for a million tokens.
PRICES = {"worker": (1, Decimal("0.25"), 4), "writer": (2, Decimal("0.5"), 8), "embedder": (Decimal("0.1"), 0, 0)}


class Books:
    """What the server counted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        self.used = {model: {"calls": 0, "prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0} for model in PRICES}
        self.written = self.keys_refused = 0

    def add(self, model, usage):
        with self.lock:
            for name, number in usage.items():
                self.used[model][name] += number


books = Books()


def texts(message):
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def with_fields(fields):
    return "".join(f"[[ ## {name} ## ]]\n{value}\n\n" for name, value in fields.items()) + "[[ ## completed ## ]]"


def write(messages):
    """What whoever writes instructions replies: another way to teach the model each time."""
    with books.lock:
        books.written += 1
        number = books.written
    # A place that the program fills has to stay.
    places = [place for place in ("{{ shop }}", "{shop}") if any(place in texts(one) for one in messages)]
    shop = f" You work for {places[0]}." if places else ""
    text = f"Add the two numbers.{shop} {TAUGHT} {WAYS[number % len(WAYS)]} {WAYS[number // len(WAYS) % len(WAYS)]}"
    is_asked_for_fields = "Your output fields are" in texts(messages[0])
    asked = texts(messages[-1]).rsplit("Respond with", 1)[-1]
    wanted = [name for name in FIELD.findall(asked) if is_asked_for_fields and name != "completed"]
    return with_fields({name: text for name in wanted}) if wanted else text


def work(messages, tools):
    """What the model of the program replies: the sum alone, where each text that it is shown teaches it."""
    system = "\n".join(texts(one) for one in messages if one["role"] in ("system", "developer"))
    told = TAUGHT in system
    last = messages[-1]
    if FIELD.search(system):
        return with_fields(dspy_fields(system, texts(last), told)), None
    numbers = [int(number) for number in re.findall(r"\d+", next(texts(one) for one in messages if one["role"] == "user"))]
    if tools and last["role"] != "tool":
        function = tools[0]["function"]
        given = dict(zip("ab", numbers)) if TAUGHT in function["description"] else {"a": numbers[0]}
        return None, {"name": function["name"], "arguments": json.dumps(given)}
    total = texts(last) if last["role"] == "tool" else sum(numbers)
    return (str(total) if told else f"I think that it is {total}."), None


def dspy_fields(system, asked, told):
    outputs = re.findall(r"^\d+\. `(\w+)`", system.split("Your output fields are:")[1].split("All interactions")[0], re.M)
    # Only what the user's message gives, and not how the reply is to be.
    given = asked.rsplit("Respond with", 1)[0]
    numbers = re.findall(r"\d+", given.split("[[ ## trajectory ## ]]")[0])
    # Some rows it knows by itself, so that demos can be made of them.
    told = told or sum(map(int, numbers)) % 4 == 0
    is_begun = "tool_name_0" in given
    arguments = dict(zip("ab", map(int, numbers))) if told else {"a": int(numbers[0])}
    observed = re.findall(r"observation_0 ## \]\]\n(\d+)", given)
    total = observed[0] if observed else sum(map(int, numbers))
    values = {
        "reasoning": "Both are there.",
        "sum": total if told else f"I think that it is {total}.",
        "numbers": json.dumps([int(number) for number in (numbers if told else numbers[:1])]),
        "next_thought": "I add them up.",
        "next_tool_name": "finish" if is_begun else "add",
        "next_tool_args": "{}" if is_begun else json.dumps(arguments),
    }
    return {name: values[name] for name in outputs}


class Model(BaseHTTPRequestHandler):
    """An endpoint of OpenAI's dialect that counts what it is asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {KEY}":
            books.keys_refused += 1
            return self.say(401, {"error": {"message": "wrong key"}})
        if self.path.endswith("/embeddings"):
            return self.embed(asked)
        model, messages = asked["model"], asked["messages"]
        text, call = (write(messages), None) if model == "writer" else work(messages, asked.get("tools"))
        message = {"role": "assistant", "content": text}
        if call:
            message["tool_calls"] = [{"id": f"call_{len(messages)}", "type": "function", "function": call}]
        prompt, completion = len(json.dumps(messages)) // 4, len(json.dumps(message)) // 4
        cached = prompt // 2
        used = {"calls": 1, "prompt_tokens": prompt, "cached_tokens": cached, "completion_tokens": completion}
        books.add(model, used)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        choice = {"index": 0, "finish_reason": "tool_calls" if call else "stop", "message": message}
        head = {"id": "r-1", "object": "chat.completion", "created": 1, "model": model}
        self.say(200, {**head, "choices": [choice], "usage": usage})

    def embed(self, asked):
        # The client asks for base64 by itself.
        numbers = base64.b64encode(struct.pack("<4f", 0.5, 0.25, -1.0, 2.0)).decode()
        is_packed = asked.get("encoding_format") == "base64"
        data = [{"object": "embedding", "index": index, "embedding": numbers if is_packed else [0.5, 0.25, -1.0, 2.0]}
                for index, _ in enumerate(asked["input"])]  # fmt: skip
        used = len(json.dumps(asked["input"])) // 4
        books.add(asked["model"], {"calls": 1, "prompt_tokens": used})
        usage = {"prompt_tokens": used, "total_tokens": used}
        self.say(200, {"object": "list", "model": asked["model"], "data": data, "usage": usage})

    def say(self, status, reply):
        body = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def expect(what, is_so, seen):
    global checked
    checked += 1
    if not is_so:
        differences.append(f"{what}: {str(seen)[-1500:]}")


def component(name, text, kind="instruction"):
    return f"[[program.components]]\nname = {json.dumps(name)}\nkind = \"{kind}\"\ntext = {json.dumps(text)}\n"


TONE = "You add numbers for a customer of {shop}.\nAnswer the question."
PAIR = component("tone", TONE) + component("add", "Adds two numbers.", "tool_description")


def dspy_components(name):
    """As a user gets them."""
    told = subprocess.run(
        [dspy, "dspy_app.py", name, "components"], cwd=scratch / "app", capture_output=True, text=True, env={**os.environ, **QUIET}
    )
    expect(f"the components of {name} are printed", told.returncode == 0, told.stderr)
    found = tomllib.loads(told.stdout)["program"]["components"]
    expect(f"the components of {name} have their texts", all(one["text"].strip() for one in found), told.stdout)
    return told.stdout


def optimize(app, door, components, optimizer, calls, cap, is_enough=True, model='name = "worker"', rows=24):
    """One optimization, and its books beside the server's."""
    what = f"{app} by {optimizer} with {cap} calls"
    folder = scratch / re.sub(r"\W+", "-", what)
    shutil.copytree(scratch / "app", folder)
    with (folder / "rows.jsonl").open("w") as data:
        for number in range(rows):
            a, b = number + 3, 2 * number + 5
            data.write(json.dumps({"question": f"What is {a} and {b}?", "sum": str(a + b)}) + "\n")
    prices = "".join(
        f'"{model}" = {{ prompt = {prompt}, cached = {cached}, completion = {completion} }}\n'
        for model, (prompt, cached, completion) in PRICES.items()
    )
    models = "".join(
        f'[{section}]\n{name}\nbase_url = "{base_url}"\napi_key_env = "WORKER_KEY"\n'
        for section, name in (("model", model), ("prompt_model", 'name = "writer"'))
    )
    (folder / "task.toml").write_text(
        f'[program]\nname = "app"\nsignature = "question -> sum"\n{door}\nmax_calls = {calls}\n'
        f'env = {json.dumps(list(QUIET))}\n{components}\n{models}\n[prices]\n{prices}\n'
        f'[data]\npath = "rows.jsonl"\ntrain = {rows - rows // 3 - rows // 4}\nselection = {rows // 3}\ntest = {rows // 4}\n'
        f'[optimizer]\nkind = "{optimizer}"\nproposer = "model"\n'
    )
    books.reset()
    command = [promptopt, "optimize", "task.toml", "-q", "--json", "--no-report", "--max-calls", str(cap), "--out", "best.json"]
    # Without a journal every call is made.
    is_kept = optimizer != "copro"
    command += [] if is_kept else ["--no-run"]
    began = time.monotonic()
    environment = {**os.environ, **QUIET, "WORKER_KEY": KEY}
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=300)
    print(f"apps: {what}: {books.used['worker']['calls']} and {books.used['writer']['calls']} calls, "
          f"{time.monotonic() - began:.1f} s", flush=True)  # fmt: skip
    expect(f"{what} ends as it should", (ended.returncode == 0) == is_enough, ended.stderr)
    expect(f"{what} shows no key", KEY not in ended.stdout + ended.stderr, ended.stderr)
    expect(f"{what} is asked with the key alone", books.keys_refused == 0, books.keys_refused)
    if not is_enough:
        made = sum(used["calls"] for used in books.used.values())
        expect(f"{what} makes all the calls that it may, and no more", made == cap, made)
        expect(f"{what} says why", "the budget is too small" in ended.stderr, ended.stderr)
        answers = (folder / "answers.jsonl").read_text()
        expect(f"{what} is told as by a provider", "RateLimitError: Error code: 429 - the budget" in answers, answers)
    if ended.returncode:
        return
    if (folder / "questions.jsonl").exists():
        names, told_of = check_lines(what, folder)
        if app.startswith("DSPy"):
            expect(f"{what} tells the steps of its predictors", told_of == names, (told_of, names))
            asked_with = [json.loads(line).get("demos", {}) for line in (folder / "questions.jsonl").read_text().rstrip("\n").split("\n")]
            has_demos = any(demos for asked in asked_with for demos in asked.values())
            expect(f"{what} shows demos where they are searched for", has_demos == (optimizer == "miprov2"), asked_with[-1:])
    best, told = json.loads((folder / "best.json").read_text()), json.loads(ended.stdout)
    spent, tested, paid = best["outcome"]["spending"], best["test_usage"], told["paid"]
    expect(f"{what} says what was paid, where replies are kept", (paid is None) == (not is_kept), paid)
    parts = (spent["task"], spent["prompt"], tested)
    again = told["replayed_calls"] + told["shared_calls"]
    cost = Decimal(0)
    for model, counted in books.used.items():
        fresh, cached, completion = PRICES[model]
        fresh_tokens = counted["prompt_tokens"] - counted["cached_tokens"]
        cost += fresh_tokens * fresh + counted["cached_tokens"] * cached + counted["completion_tokens"] * completion
    for name in ("calls", "prompt_tokens", "cached_tokens", "completion_tokens"):
        counted, ours = sum(used[name] for used in books.used.values()), sum(part.get(name, 0) for part in parts)
        if is_kept:
            expect(f"{name} paid in {what} are those that the server counted", paid.get(name, 0) == counted, (paid, counted))
        # What a program asks in the same words again is answered out of the journal, and stands in the books once more.
        is_theirs = ours - again == counted if name == "calls" else again or ours == counted
        expect(f"{name} in the books of {what} are those that the server counted", is_theirs, (ours, again, counted))
    ours = sum(Decimal(part.get("money", "0")) for part in parts) * 1_000_000
    expect(f"{what} cost what the server counted", again or ours == cost, (ours, cost))
    made = spent["task"]["calls"] + spent["prompt"].get("calls", 0)
    expect(f"{what} stays under its cap", made <= cap, made)
    notes = best["outcome"].get("notes", [])
    expect(f"{what} is not taken for one that keeps state", not any("keeps something" in note for note in notes), notes)
    expect(f"the server is heard in {what}", not any("does not tell" in note for note in notes), notes)
    means = best["test"]["baseline"]["mean"], best["test"]["optimized"]["mean"]
    expect(f"{what} gains", means[0] < means[1] == 1.0, (means, best["prompts"], notes))


# DSPy keeps a cache in the home folder, and looks for the prices of models in the internet.
QUIET = {"DSPY_CACHEDIR": str(scratch / "cache"), "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}
model = Server(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
base_url = f"http://127.0.0.1:{model.server_port}/v1"
began = time.monotonic()

shutil.copytree(root / "tests/interop/apps", scratch / "app")
for bridge in ("python/promptopt_bridge.py", "node/promptopt-bridge.mjs"):
    shutil.copy(root / "bridges" / bridge, scratch / "app")
if openai_package:
    (scratch / "app/node_modules").symlink_to(openai_package[0] / "node_modules")


def serve(*command):
    """A program that stays, with a note of what goes in and comes out."""
    command = [sys.executable, "tee.py", "questions.jsonl", "answers.jsonl", *command]
    return f"serve = {json.dumps(list(map(str, command)))}"


SCHEMA = json.loads((root / "docs/program-protocol.schema.json").read_text())
PARTS = {
    name: jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]}) for name in ("question", "answer")
}


def check_lines(app, folder):
    """What went over the pipes against the schema of the docs."""
    asked, answered = ([], [])
    for lines, name in ((asked, "questions.jsonl"), (answered, "answers.jsonl")):
        for line in (folder / name).read_text().rstrip("\n").split("\n"):
            if line.startswith("{"):
                lines.append(json.loads(line))
    for part, lines in (("question", asked), ("answer", answered)):
        wrong = next((f"{error.message}: {line}" for line in lines for error in PARTS[part].iter_errors(line)), None)
        expect(f"each {part} of {app} is as the schema has it", lines and wrong is None, wrong)
        unknown = {key for line in lines for key in line} - set(SCHEMA["$defs"][part]["properties"])
        expect(f"the schema has all keys of each {part} of {app}", not unknown, unknown)
    ids = [line.get("id") for line in asked]
    expect(f"each question of {app} has its answer", sorted(ids) == sorted(line["id"] for line in answered), (ids, answered[-1:]))
    expect(f"{app} is asked by one question's key alone", len({line["api_key"] for line in asked}) == len(asked), len(asked))
    told = {step["component"] for line in answered for step in line.get("steps", [])}
    return set(asked[0]["components"]), told


APPS = {
    "openai-python": (serve(clients, "openai_app.py", "serve"), PAIR, 6, 150),
    "anthropic-python": (serve(clients, "anthropic_app.py"), PAIR, 4, 110),
    "LangGraph": (serve(clients, "langgraph_app.py"), PAIR.replace(" of {shop}", ""), 2, 80),
}
if openai_package:
    APPS["openai of npm"] = (serve("node", "openai_app.mjs"), PAIR.replace("{shop}", "{{ shop }}"), 5, 130)
for name, calls, cap in (("chain_of_thought", 2, 60), ("two_predictors", 4, 100), ("react", 6, 150)):
    APPS[f"DSPy {name}"] = (serve(dspy, "dspy_app.py", name), name, calls, cap)

only = os.environ.get("PROMPTOPT_APPS", "")
for app, (how, components, calls, cap) in APPS.items():
    if only not in app:
        continue
    if app.startswith("DSPy"):
        components = dspy_components(components)
    for optimizer, share in (("copro", 1), ("miprov2", 1), ("gepa", 2)):
        optimize(app, how, components, optimizer, calls, share * cap)

# The other doors, for a program that nobody changed.
run = f"run = {json.dumps([str(clients), 'openai_app.py'])}"
optimize("openai-python, a process for each row,", run, PAIR, "copro", 6, 80, rows=12)
with subprocess.Popen([clients, "openai_app.py", "listen"], cwd=scratch / "app", stdout=subprocess.PIPE, text=True) as service:
    try:
        url = f'url = "http://127.0.0.1:{service.stdout.readline().strip()}/answer"'
        optimize("openai-python, a service,", url, PAIR, "copro", 6, 80, rows=12)
    finally:
        service.kill()

# Models that the program names, one of them for embeddings.
asked = 'name = "as-asked"\nmodels = ["worker"]\nembeddings = ["embedder"]'
tone = component("tone", "You add numbers.\nAnswer the question.")
for optimizer in ("copro", "miprov2"):
    optimize("openai-python, models as asked,", serve(clients, "retrieval_app.py"), tone, optimizer, 2, 100, model=asked)

# The baseline begins a row where there is room for its first call, so the cap is reached in the middle of rows.
for cap in (33, 45):
    optimize("openai-python, cut short,", APPS["openai-python"][0], PAIR, "copro", APPS["openai-python"][2], cap, is_enough=False)

for difference in differences:
    print(f"DIFFERENT: {difference}")
print(f"apps: {checked} checks, {len(differences)} differences, {time.monotonic() - began:.0f} s")
sys.exit(bool(differences) or not checked)
