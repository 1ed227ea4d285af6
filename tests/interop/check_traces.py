"""Checks the spans of a Rust service and of the command as a real receiver gets them: an MLflow server, over OTLP. Names are
compared with OpenTelemetry's own constants, values with the books of the run.

Called by run.sh with the command, the service (`crates/otel/examples/service.rs`), a scratch folder and the folder of
MLflow's programs.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.semconv._incubating.attributes import error_attributes, gen_ai_attributes, server_attributes

promptopt, service, scratch, bin = (Path(argument).absolute() for argument in sys.argv[1:5])
shutil.rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)
differences, checked = [], 0

# The package on PyPI stopped at 1.41, before the conventions got a repository of their own. What its first release, 0.1.0,
# added or named anew: docs/gen-ai/client-inference.md there.
SINCE = {"gen_ai.usage.cache_write.input_tokens", "gen_ai.request.reasoning.level"}
KNOWN = SINCE | {
    value
    for module in (gen_ai_attributes, server_attributes, error_attributes)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str)
}
LISTS = {"gen_ai.response.finish_reasons", "gen_ai.request.stop_sequences"}
NUMBERS = re.compile(r"gen_ai\.usage\..*_tokens|gen_ai\.request\.(max_tokens|seed|choice\.count)|server\.port")
QUESTION = "Which tea is green?"
USAGE = {
    "prompt_tokens": 40,
    "completion_tokens": 7,
    "total_tokens": 47,
    "prompt_tokens_details": {"cached_tokens": 32},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


class Model(BaseHTTPRequestHandler):
    """Calls the tool where there is one, and answers otherwise."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Model.asked += 1
        if request.get("tools") and request["messages"][-1]["role"] != "tool":
            call = {"name": "search", "arguments": json.dumps({"query": "green tea"})}
            message = {"content": None, "tool_calls": [{"id": "call_9", "type": "function", "function": call}]}
        else:
            field = re.search(r"\[\[ ## (answer|department) ## \]\]", json.dumps(request)).group(1)
            message = {"content": f"[[ ## {field} ## ]]\nsales\n\n[[ ## completed ## ]]"}
        reason = "tool_calls" if message.get("tool_calls") else "stop"
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
        reply = {"id": "r-1", "object": "chat.completion", "model": "tiny-2", "choices": [choice], "usage": USAGE}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def expect(what, is_so, seen):
    global checked
    checked += 1
    if not is_so:
        differences.append(f"{what}: {str(seen)[:400]}")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def asked(path, body=None, **headers):
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    headers.setdefault("content-type", "application/json")
    request = urllib.request.Request(f"{mlflow}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        told = reply.read()
    return json.loads(told) if body is None or isinstance(body, dict) else told


def spans_of(name):
    """The spans of the one trace of a service, by their ids."""
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    found = asked("/api/3.0/mlflow/traces/search", {"locations": [place], "max_results": 100})
    ids = [trace["trace_id"] for trace in found.get("traces", []) if trace["tags"].get("service.name") == name]
    if len(ids) != 1:
        log = (scratch / "mlflow.log").read_text()[-2000:]
        sys.exit(f"{name} is not one trace: {ids} of {found}\n{log}")
    spans = {}
    for span in asked(f"/api/3.0/mlflow/traces/get?trace_id={ids[0]}")["trace"]["spans"]:
        attributes = {one["key"]: value(one["value"]) for one in span.get("attributes", [])}
        span["attributes"] = {key: it for key, it in attributes.items() if not key.startswith("mlflow.")}
        spans[span["span_id"]] = span
    return spans


def value(wrapped):
    (kind, it), = wrapped.items()
    if kind == "array_value":
        return [value(one) for one in it.get("values", [])]
    if kind == "kvlist_value":
        return {pair["key"]: value(pair["value"]) for pair in it.get("values", [])}
    return int(it) if kind == "int_value" else it


def path_of(span, spans):
    names = []
    while span:
        names.append(span["name"])
        span = spans.get(span.get("parent_span_id"))
    return names


def check_names(spans):
    for span in spans.values():
        for name, it in span["attributes"].items():
            expect(f"{name} of {span['name']} is a name of the conventions", name in KNOWN or name.startswith("promptopt."), it)
            expect(f"{name} is a list or none", isinstance(it, list) == (name in LISTS), it)
            expect(f"{name} is a number or none", not NUMBERS.fullmatch(name) or isinstance(it, int), it)


def chats(spans):
    return [span for span in spans.values() if span["name"].startswith("chat ")]


def check_books(spans, usage):
    """The calls of a trace against what the run says that it used."""
    calls = chats(spans)
    expect("calls are spans", len(calls) == usage["calls"], (len(calls), usage))
    for name, field in [
        ("input_tokens", "prompt_tokens"),
        ("output_tokens", "completion_tokens"),
        ("cache_read.input_tokens", "cached_tokens"),
        ("reasoning.output_tokens", "reasoning_tokens"),
    ]:
        total = sum(call["attributes"].get(f"gen_ai.usage.{name}", 0) for call in calls)
        expect(f"{name} are those of the books", total == usage.get(field, 0), (total, usage))


def told(command, **variables):
    environment = {"OTEL_EXPORTER_OTLP_HEADERS": "x-mlflow-experiment-id=0,x-key=canary-header", **variables}
    ended = subprocess.run(command, capture_output=True, text=True, cwd=scratch, env={**os.environ, **environment})
    expect(f"{command[0].name} ends well", ended.returncode == 0, ended.stderr)
    expect("no header is shown", "canary" not in ended.stdout + ended.stderr, ended.stderr)
    return ended


model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
base_url = f"http://127.0.0.1:{model.server_port}/v1"
port = free_port()
mlflow = f"http://127.0.0.1:{port}"
# It looks for the prices of models in the internet before it takes a call, unless they are at hand.
quiet = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": base_url,
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
began = time.monotonic()
with open(scratch / "mlflow.log", "w") as log:
    server = subprocess.Popen(
        [bin / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{scratch}/mlflow.db"],
        stdout=log, stderr=log, cwd=scratch, start_new_session=True,
        env={**os.environ, **quiet, "PATH": f"{bin}:{os.environ['PATH']}"},
    )  # fmt: skip
try:
    while True:
        try:
            urllib.request.urlopen(f"{mlflow}/health", timeout=1).close()
            break
        except OSError:
            if server.poll() is not None or time.monotonic() - began > 120:
                sys.exit(f"MLflow does not start:\n{(scratch / 'mlflow.log').read_text()}")
            time.sleep(0.2)
    # Its first trace takes it longer than others.
    first = ExportTraceServiceRequest()
    now = time.time_ns()
    span = first.resource_spans.add().scope_spans.add().spans.add(name="first", trace_id=os.urandom(16), span_id=os.urandom(8))
    span.start_time_unix_nano, span.end_time_unix_nano = now, now + 1
    form = {"x-mlflow-experiment-id": "0", "content-type": "application/x-protobuf"}
    asked("/v1/traces", first.SerializeToString(), **form)

    # A Rust service.
    ended = told([service, base_url], OTEL_EXPORTER_OTLP_ENDPOINT=mlflow, RUST_LOG="trace")
    said = json.loads(ended.stdout)
    spans = spans_of("desk")
    expect("all spans arrive", (said["sent"], said["lost"]) == (len(spans), 0), said)
    check_names(spans)
    check_books(spans, said["usage"])
    paths = {tuple(path_of(span, spans)) for span in spans.values()}
    for path in [
        ("chat tiny", "predict check", "POST /answer"),
        ("chat tiny", "invoke_agent desk", "POST /answer"),
        ("SELECT shelf", "execute_tool search", "invoke_agent desk", "POST /answer"),
    ]:
        expect("spans are where they belong", path in paths, paths)
    for call in chats(spans):
        expected = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "tiny",
            "gen_ai.response.id": "r-1",
            "gen_ai.response.model": "tiny-2",
            "server.address": "127.0.0.1",
            "server.port": model.server_port,
        }
        seen = {name: call["attributes"].get(name) for name in expected}
        expect("a call says who served it", seen == expected, seen)
    reasons = sorted(call["attributes"]["gen_ai.response.finish_reasons"][0] for call in chats(spans))
    expect("a call says why it ended", reasons == ["stop", "stop", "tool_call"], reasons)
    tool = next(span for span in spans.values() if span["name"] == "execute_tool search")["attributes"]
    expect("a tool says its call", (tool["gen_ai.tool.name"], tool["gen_ai.tool.call.id"]) == ("search", "call_9"), tool)
    expect("nothing is told of what was said", "tea" not in json.dumps(spans) + ended.stderr, ended.stderr)

    # The command.
    rows = [{"ticket": f"text number {n}", "department": ["billing", "sales"][n % 2]} for n in range(40)]
    (scratch / "tickets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (scratch / "task.toml").write_text(
        f'[program]\nname = "route"\nsignature = "ticket -> department: enum[billing, sales]"\n'
        f'[model]\nname = "tiny"\nbase_url = "{base_url}"\n[data]\npath = "tickets.jsonl"\n'
        f'[optimizer]\nkind = "random_search"\nnum_sets = 2\nmax_calls = 200\n'
    )
    before = Model.asked
    optimize = [promptopt, "optimize", "task.toml", "--no-run", "--no-report", "--json", f"--otlp={mlflow}"]
    ended = told(optimize, OTEL_SERVICE_NAME="optimizing")
    spans = spans_of("optimizing")
    check_names(spans)
    made = Model.asked - before
    check_books(spans, {"calls": made, "prompt_tokens": 40 * made, "completion_tokens": 7 * made,
                        "cached_tokens": 32 * made, "reasoning_tokens": 5 * made})  # fmt: skip
    ways = {" < ".join(path_of(call, spans)) for call in chats(spans)}
    whole = "chat tiny < predict route < rollout route < stage {} < optimization route < promptopt optimize"
    for stage in ["baseline", "sealed test"]:
        expect("rollouts are in their stage", whole.format(stage) in ways, ways)
    trials = [event for span in spans.values() for event in span.get("events", []) if event["name"] == "trial"]
    expect("trials are told in their stage", trials, ended.stderr)
    expect("nothing is told of what was said", "text number" not in json.dumps(spans), "")

    # What was said, where that is wanted.
    evaluate = [promptopt, "eval", "task.toml", "--test", "2", f"--otlp={mlflow}", "--verbose"]
    wanted = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true", "PROMPTOPT_LOG": "trace"}
    ended = told(evaluate, OTEL_SERVICE_NAME="telling", **wanted)
    spans = spans_of("telling")
    expect("both calls are told", len(chats(spans)) == 2, ended.stderr)
    for call in chats(spans):
        # MLflow reads JSON in attributes.
        said = call["attributes"]["gen_ai.input.messages"]
        expect("messages are in the form of the conventions", said[-1]["parts"][0]["type"] == "text", said)
        replied = call["attributes"]["gen_ai.output.messages"]
        expect("replies are", "sales" in replied[0]["parts"][0]["content"], replied)
    expect("the log shows none of it", "gen_ai" not in ended.stderr, ended.stderr)
finally:
    os.killpg(server.pid, signal.SIGKILL)

for difference in differences:
    print(f"DIFFERENT: {difference}")
print(f"traces: {checked} checks, {len(differences)} differences, {time.monotonic() - began:.0f} s")
sys.exit(bool(differences) or not checked)
