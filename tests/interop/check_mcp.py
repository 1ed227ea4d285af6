"""Checks the tools of MCP servers that others wrote: the command runs an agent on them, over a model that calls what the
question says and answers with the result.

Called by run.sh with the command, a scratch folder, the folder of the servers from PyPI, and the server-everything of npm
where there is one.
"""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

promptopt, scratch, bin = (Path(argument).absolute() for argument in sys.argv[1:4])
everything = sys.argv[4:]
scratch.mkdir(exist_ok=True)
differences, checked = [], 0
told = {}


class Model(BaseHTTPRequestHandler):
    """Calls the tool that a question names, and answers with what it gave."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = request["messages"]
        question = next(m["content"] for m in messages if m["role"] == "user" and "## question ##" in m["content"])
        question = question.split("## question ## ]]\n")[1].split("\n")[0]
        if messages[-1]["role"] == "tool":
            told[question] = messages[-1]["content"]
            message = {"content": "[[ ## answer ## ]]\ndone\n\n[[ ## completed ## ]]"}
        else:
            name, arguments = question.split(" ", 1)
            call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
            message = {"content": None, "tool_calls": [call]}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **message}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()


def check(server, command, calls):
    """Runs an agent that makes each call, and looks for the texts in what the model was told of it."""
    global checked
    folder = scratch / server
    folder.mkdir(exist_ok=True)
    rows = [f"{name} {json.dumps(arguments)}" for name, arguments, _ in calls]

    def write(name, questions):
        lines = [json.dumps({"question": question, "answer": "done"}) for question in questions]
        (folder / name).write_text("\n".join(lines))

    write("rows.jsonl", [f"unused {n}" for n in range(4)])
    write("test.jsonl", rows)
    (folder / "task.toml").write_text(
        f"""
[program]
signature = "question -> answer"
[[program.mcp]]
name = "{server}"
command = {json.dumps([str(part) for part in command])}
[model]
name = "m"
base_url = "http://127.0.0.1:{model.server_port}"
[data]
path = "rows.jsonl"
test = "test.jsonl"
"""
    )
    told.clear()
    run = subprocess.run(
        [promptopt, "eval", "task.toml", "--json", "--concurrency", "16"], cwd=folder, capture_output=True, text=True, timeout=300
    )
    if run.returncode != 0:
        differences.append(f"{server}: {run.stderr}")
        return
    for row, (_, _, expected) in zip(rows, calls):
        for part in expected:
            checked += 1
            if part not in told.get(row, ""):
                differences.append(f"{server}: {row}\n    expected {part!r}\n    found    {told.get(row)!r}")


check(
    "desk",
    [bin / "python", Path(__file__).with_name("mcp_desk.py")],
    [
        ("add", {"a": 2, "b": 40}, ["42"]),
        ("rooms", {"floor": 3}, ['"number": 300', '"name": "room 1"']),
        ("words", {"text": "tea and tea"}, ['"tea": 2']),
        ("fail", {"why": "the index is closed"}, ["Error: Error executing tool fail"]),
        ("add", {"a": "two"}, ["Error: "]),
        ("picture", {}, ["[an image, image/png, which is not shown]"]),
        *[("wait", {"name": f"guest {n}"}, [f"waited for guest {n}"]) for n in range(16)],
    ],
)
check(
    "time",
    [bin / "mcp-server-time", "--local-timezone", "Etc/UTC"],
    [
        ("convert_time", {"source_timezone": "Etc/UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}, ["T21:00:00"]),
        ("convert_time", {"source_timezone": "Etc/UTC", "time": "noon", "target_timezone": "Asia/Tokyo"}, ["Error: "]),
        ("get_current_time", {"timezone": "Nowhere/At_All"}, ["Error: "]),
    ],
)
repository = scratch / "repository"
if not (repository / ".git").exists():
    repository.mkdir(exist_ok=True)
    (repository / "notes.txt").write_text("tea\n")
    for arguments in (
        ["init", "--quiet", "--initial-branch=trunk"],
        ["add", "notes.txt"],
        ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "--quiet", "-m", "Notes on tea"],
    ):
        subprocess.run(["git", *arguments], cwd=repository, check=True)
check(
    "git",
    [bin / "mcp-server-git", "--repository", repository],
    [
        ("git_log", {"repo_path": str(repository)}, ["Notes on tea", "Ann"]),
        ("git_status", {"repo_path": str(repository)}, ["On branch trunk"]),
        ("git_show", {"repo_path": str(repository), "revision": "no-such"}, ["Error: "]),
    ],
)
if everything:
    check(
        "everything",
        everything,
        [
            ("echo", {"message": "tea"}, ["tea"]),
            ("get-sum", {"a": 2, "b": 40}, ["42"]),
            ("get-structured-content", {"location": "Chicago"}, ["temperature"]),
            ("get-tiny-image", {}, ["[an image, image/png, which is not shown]"]),
            ("get-resource-reference", {"resourceType": "Text", "resourceId": 1}, ["demo://"]),
            ("get-resource-links", {"count": 2}, ["demo://"]),
            ("get-annotated-message", {"messageType": "error", "includeImage": False}, ["Error"]),
            ("trigger-long-running-operation", {"duration": 1, "steps": 4}, ["completed"]),
        ],
    )
else:
    print("npm is not installed: server-everything was left out")

for difference in differences:
    print(f"DIFFERENT {difference}")
print(f"{checked} results of MCP servers checked, {len(differences)} differences")
sys.exit(bool(differences))
