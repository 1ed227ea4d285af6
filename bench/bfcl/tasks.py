"""Rows of the Berkeley Function Calling Leaderboard, their tools at work, and its own checkers.

usage: tasks.py rows SEED N FOLDER   writes rows.jsonl into FOLDER: N rows of each kind, or all of them where N is 0
       tasks.py tools ID             the tools of a row of several turns: a line {"name", "arguments"} for each call on
                                     standard input, a line {"result"} for each on standard output
       tasks.py judge                a line {"id", "turns"} for each rollout on standard input, where each turn is the
                                     list of its steps, and each step the list of its calls; a line {"valid", "error"}
                                     for each on standard output

All data, all that tools do and every judgement are those of the package bfcl-eval. Its checkers look one thing up in its
table of models, whose module imports the clients of every provider. So that module is replaced by the one entry that is
needed, and the package is installed without its dependencies.
"""

import ast
import json
import random
import re
import sys
import types
from pathlib import Path

MODEL = "promptopt"
table = types.ModuleType("bfcl_eval.constants.model_config")
# Names of functions go over the wire with `_` for `.`, as the package has it for OpenAI.
table.MODEL_CONFIG_MAPPING = {MODEL: types.SimpleNamespace(underscore_to_dot=True)}
sys.modules[table.__name__] = table

import bfcl_eval
from bfcl_eval.constants.default_prompts import DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC
from bfcl_eval.constants.enums import Language
from bfcl_eval.constants.executable_backend_config import MULTI_TURN_FUNC_DOC_FILE_MAPPING
from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

DATA = Path(bfcl_eval.__file__).parent / "data"
KINDS = (
    "simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance", "live_simple", "live_multiple",
    "live_parallel", "live_parallel_multiple", "live_irrelevance", "live_relevance", "multi_turn_base",
    "multi_turn_miss_func", "multi_turn_miss_param", "multi_turn_long_context",
)
# Rows of `live_multiple` whose right tool is one of those that are right most often, all of which each row offers: one
# program with one set of tools, as a product has it.
SHARED = "shared_tools"
SHARED_FROM = "live_multiple"
SHARED_TOOLS = 8


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def entries(kind):
    return lines(DATA / f"BFCL_v4_{kind}.json")


def answers(kind):
    path = DATA / "possible_answer" / f"BFCL_v4_{kind}.json"
    return {entry["id"]: entry["ground_truth"] for entry in lines(path)} if path.exists() else {}


def wire_name(name):
    return re.sub(r"\.", "_", name)


def schema(given):
    """A type of the package as a JSON schema, whose types have other names."""
    made = {key: value for key, value in given.items() if key not in ("type", "optional", "properties", "items")}
    kind = given.get("type")
    if kind == "any":
        return made
    if kind:
        made["type"] = GORILLA_TO_OPENAPI[kind]
    if "properties" in given:
        made["properties"] = {name: schema(part) for name, part in given["properties"].items()}
    if "items" in given:
        made["items"] = schema(given["items"])
    return made


def tool(function):
    name, about, parameters = wire_name(function["name"]), function["description"], schema(function["parameters"])
    return {"name": name, "description": about, "parameters": parameters}


def right_call(answer, function):
    """The first call that the package accepts."""
    ((name, options),) = answer.items()
    known, required = function["parameters"]["properties"], function["parameters"].get("required", [])
    arguments = {}
    for parameter, values in options.items():
        # "" says that it may be left out. So it is where "" comes first, and the function does not require it.
        filled = [value for value in values if value != ""]
        if parameter in required:
            filled = filled or values
        elif values[:1] == [""]:
            filled = []
        # Some answers have an argument that their function has not.
        if filled and parameter in known:
            arguments[parameter] = right_value(filled[0])
    return {"name": wire_name(name), "arguments": arguments}


def right_value(value):
    """An acceptable value. The fields of an object have lists of what is acceptable; deeper ones have not."""
    if isinstance(value, dict):
        return {name: values[0] for name, values in value.items() if values[0] != ""}
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return [right_value(one) for one in value]
    return value


def call_of(text, functions):
    """A call as Python writes it, such as `sort('final_report.pdf')`."""
    node = ast.parse(text, mode="eval").body
    names = list(functions[node.func.id]["parameters"]["properties"])
    positional = dict(zip(names, node.args))
    named = {keyword.arg: keyword.value for keyword in node.keywords}
    arguments = {name: ast.literal_eval(value) for name, value in {**positional, **named}.items()}
    return {"name": node.func.id, "arguments": arguments}


def single(kind, entry, truth):
    """A row of one turn. What is said before its last question is its history."""
    *before, last = entry["question"][0]
    functions = {function["name"]: function for function in entry["function"]}
    right = [right_call(answer, functions[next(iter(answer))]) for answer in truth.get(entry["id"], [])]
    # Where any call will do, it is one of the first tool.
    if kind == "live_relevance":
        right = [{"name": wire_name(entry["function"][0]["name"]), "arguments": {}}]
    turn = {"history": before, "question": last["content"], "tools": list(map(wire_name, functions)), "calls": right}
    tools = [tool(function) for function in entry["function"]]
    return {"id": entry["id"], "kind": kind, "tools": tools, "turns": [turn], "works": False}


def several(kind, entry, truth):
    """A row of several turns, whose tools work."""
    functions = {}
    for name in entry["involved_classes"]:
        for function in lines(DATA / "multi_turn_func_doc" / MULTI_TURN_FUNC_DOC_FILE_MAPPING[name]):
            if function["name"] not in entry.get("excluded_function", []):
                functions[function["name"]] = function
    missing = {int(turn): names for turn, names in entry.get("missed_function", {}).items()}
    turns = []
    for number, question in enumerate(entry["question"]):
        later = {name for turn, names in missing.items() if turn > number for name in names}
        text = question[0]["content"] if question else DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_FC
        calls = [call_of(call, functions) for call in truth[entry["id"]][number]]
        offered = [name for name in functions if name not in later]
        turns.append({"history": [], "question": text, "tools": offered, "calls": calls})
    tools = [tool(function) for function in functions.values()]
    return {"id": entry["id"], "kind": kind, "tools": tools, "turns": turns, "works": True}


def shared():
    """The rows that share their tools."""
    all_rows, truth = entries(SHARED_FROM), answers(SHARED_FROM)
    right = {entry["id"]: next(iter(truth[entry["id"]][0])) for entry in all_rows}
    counts = {}
    for name in right.values():
        counts[name] = counts.get(name, 0) + 1
    chosen = sorted(counts, key=lambda name: (-counts[name], name))[:SHARED_TOOLS]
    definitions = {}
    for entry in all_rows:
        for function in entry["function"]:
            if function["name"] in chosen:
                definitions.setdefault(function["name"], tool(function))
    tools = [definitions[name] for name in chosen]
    rows = []
    for entry in all_rows:
        name = right[entry["id"]]
        if name not in chosen or len(entry["question"][0]) > 1:
            continue
        row = single(SHARED_FROM, entry, truth)
        row |= {"kind": SHARED, "tools": tools}
        row["turns"][0]["tools"] = [one["name"] for one in tools]
        known = definitions[name]["parameters"]["properties"]
        if all(argument in known for argument in row["turns"][0]["calls"][0]["arguments"]):
            rows.append(row)
    return rows


def rows_of(kind):
    if kind == SHARED:
        return shared()
    truth = answers(kind)
    make = several if kind.startswith("multi_turn") else single
    return [make(kind, entry, truth) for entry in entries(kind)]


def write_rows(seed, count, folder):
    with open(Path(folder) / "rows.jsonl", "w") as file:
        for kind in (*KINDS, SHARED):
            rows = rows_of(kind)
            random.Random(f"{seed} {kind}").shuffle(rows)
            for row in rows[: count or None]:
                file.write(json.dumps(row) + "\n")


def kind_of(row):
    return row.rsplit("_", 1)[0]


def as_python(call):
    """A call as the package's executor takes it; nothing where it can be none."""
    if not isinstance(call["arguments"], dict) or not all(map(str.isidentifier, [call["name"], *call["arguments"]])):
        return None
    return f"{call['name']}({', '.join(f'{name}={value!r}' for name, value in call['arguments'].items())})"


def run_tools(row):
    (entry,) = (entry for entry in entries(kind_of(row)) if entry["id"] == row)
    for line in sys.stdin:
        call = as_python(json.loads(line))
        if call is None:
            print(json.dumps({"result": "Error during execution: the call cannot be read"}), flush=True)
            continue
        results, _ = multi_turn_utils.execute_multi_turn_func_call(
            [call], entry["initial_config"], entry["involved_classes"], MODEL, row, "long_context" in row
        )
        print(json.dumps({"result": results[0]}), flush=True)


def refusal(row, turns, known):
    """Why the package refuses the calls of a rollout; nothing where it accepts them."""
    kind = kind_of(row)
    if kind not in known:
        known[kind] = ({entry["id"]: entry for entry in entries(kind)}, answers(kind))
    entry, truth = known[kind][0][row], known[kind][1].get(row)
    if kind.startswith("multi_turn"):
        if len(turns) != len(truth):
            return f"multi_turn:force_terminated: {len(turns)} of {len(truth)} turns"
        read = lambda step: [call for call in map(as_python, step) if call]
        decoded = [[step for step in map(read, turn) if step] for turn in turns]
        verdict = multi_turn_checker(decoded, truth, entry, kind, MODEL)
        # The executor keeps what its tools work on in its module.
        for name in [name for name in vars(multi_turn_utils) if name.startswith(MODEL)]:
            delattr(multi_turn_utils, name)
        return None if verdict["valid"] else f"{verdict['error_type']}: {verdict['error_message']}"
    # As the leaderboard has it, what a model writes first is judged, and not what it does after it was told of mistakes.
    calls = turns[0][0] if turns and turns[0] else []
    if kind.endswith("irrelevance"):
        return "irrelevance_error:decoder_success: a tool is called where none fits" if calls else None
    if any(not isinstance(call["arguments"], dict) for call in calls):
        return "ast_decoder:decoder_failed: the arguments of a call are not valid JSON"
    if kind == "live_relevance":
        return None if calls else "relevance_error:decoder_failed: no tool is called"
    output = [{call["name"]: call["arguments"]} for call in calls]
    verdict = ast_checker(entry["function"], output, truth, Language.PYTHON, kind, MODEL)
    return None if verdict["valid"] else f"{verdict['error_type']}: {verdict['error']}"


def judge():
    known = {}
    for line in sys.stdin:
        asked = json.loads(line)
        error = refusal(asked["id"], asked["turns"], known)
        print(json.dumps({"valid": error is None, "error": error or ""}), flush=True)


def main(arguments):
    match arguments:
        case ["rows", seed, count, folder]:
            write_rows(int(seed), int(count), folder)
        case ["tools", row]:
            run_tools(row)
        case ["judge"]:
            judge()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
