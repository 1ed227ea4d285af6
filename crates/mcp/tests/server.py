"""An MCP server written by hand, for tests: `python3 server.py [MODE...]`.

Modes: `drawers` (only the tools of drawers), `pages` (one tool on each page), `shuffled` (another order at each start),
`endless` (pages without end), `empty` (no tools), `tired` (ends in its eighth call), `silent`, `junk`, `flood`, `refusing`.
With the variable STARTS each start is a line in that file.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time

MODES = sys.argv[1:]
DRAWERS = {"K4": "saffron", "M7": "copper", "P2": "linen", "R9": "walnut", "T5": "pewter", "W3": "velvet"}
LOCK = threading.Lock()


def tool(name, description, *arguments):
    properties = {argument: {"type": "string"} for argument in arguments}
    return {
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": properties, "required": list(arguments)},
    }


CALLS = []
TOOLS = [
    tool("open_drawer", "Opens a drawer.", "drawer"),
    tool("list_drawers", "Lists all drawers."),
    tool("admin.die", "Ends the server."),
    tool("stick", "Never ends, and nothing else is answered."),
    tool("sleep", "Ends too late, while others are answered."),
    tool("echo", "Says it again, late where the words say so.", "words"),
    tool("variable", "The value of an environment variable.", "name"),
    tool("long", "Gives more than anybody reads."),
    tool("child", "Starts a process, and tells its number."),
]
if "drawers" in MODES:
    TOOLS = TOOLS[:2]
if "shuffled" in MODES:
    random.shuffle(TOOLS)
if "empty" in MODES:
    TOOLS = []


def send(message):
    with LOCK:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def text(words, is_error=False):
    return {"content": [{"type": "text", "text": words}], "isError": is_error}


def called(name, arguments):
    if name == "open_drawer":
        drawer = arguments.get("drawer")
        if drawer not in DRAWERS:
            return text(f"there is no such drawer: {drawer}", is_error=True)
        return text(DRAWERS[drawer])
    if name == "list_drawers":
        return text(json.dumps(list(DRAWERS)))
    if name == "admin.die":
        sys.stderr.write("the floor gave way\n")
        sys.stderr.flush()
        os._exit(3)
    if name == "stick":
        with LOCK:
            time.sleep(3600)
    if name == "sleep":
        time.sleep(3600)
    if name == "echo":
        time.sleep(0.2 * random.random() if arguments["words"].startswith("late") else 0)
        return {**text("said"), "structuredContent": {"words": arguments["words"]}}
    if name == "variable":
        return text(os.environ.get(arguments["name"], "not set"))
    if name == "long":
        return text("x" * (17 * 1024 * 1024))
    if name == "child":
        return text(str(subprocess.Popen(["sleep", "3600"], stdout=subprocess.DEVNULL).pid))
    raise KeyError(name)


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "desk", "version": "1"},
        }
    if method == "tools/list":
        if "refusing" in MODES:
            raise PermissionError("the drawers are locked")
        if "endless" in MODES:
            return {"tools": [], "nextCursor": "again"}
        if "pages" not in MODES:
            return {"tools": TOOLS}
        page = int(params.get("cursor", "0"))
        last = page + 1 == len(TOOLS)
        return {"tools": [TOOLS[page]]} if last else {"tools": [TOOLS[page]], "nextCursor": str(page + 1)}
    if method == "tools/call":
        CALLS.append(params["name"])
        if "tired" in MODES and len(CALLS) > 7:
            os._exit(1)
        return called(params["name"], params.get("arguments", {}))
    return {}


def reply(message):
    if "id" not in message or "method" not in message:
        return
    try:
        send({"jsonrpc": "2.0", "id": message["id"], "result": answer(message["method"], message.get("params", {}))})
    except Exception as error:
        send({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32603, "message": str(error)}})


if "STARTS" in os.environ:
    with open(os.environ["STARTS"], "a") as starts:
        starts.write(f"{os.getpid()}\n")
if "silent" in MODES:
    time.sleep(3600)
if "junk" in MODES:
    print("Server ready on stdio!")
    time.sleep(3600)
while "flood" in MODES:
    print("x" * 1000)
for line in sys.stdin:
    threading.Thread(target=reply, args=(json.loads(line),), daemon=True).start()
