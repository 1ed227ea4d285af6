"""Checks against the real DSPy: program states both ways, and chats byte for byte.

Called by run.sh with the folder that holds the built examples and a scratch folder.
"""

import datetime
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, Optional, Union

import dspy
from dspy.utils import DummyLM
from dspy.utils.saving import get_dependency_versions

examples, scratch = Path(sys.argv[1]), Path(sys.argv[2])
differences = []
counts = {}


def check(what, found, expected):
    counts[what] = counts.get(what, 0) + 1
    if found != expected:
        differences.append(f"{what}\n    expected {expected!r}\n    found    {found!r}")


def example(name, *arguments):
    command = [examples / name, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()


# The programs of crates/dspy/examples/support/programs.rs, as somebody writes them in DSPy.


class Route(dspy.Signature):
    """Route the ticket."""

    ticket: str = dspy.InputField()
    attempts: int = dspy.InputField()
    department: Literal["billing", "it's"] = dspy.OutputField()
    urgent: bool = dspy.OutputField()
    confidence: float = dspy.OutputField()
    tags: list[str] = dspy.OutputField()
    details: dict[str, Any] = dspy.OutputField()


class TwoPredictors(dspy.Module):
    def __init__(self):
        super().__init__()
        self.plan = dspy.ChainOfThought("question -> steps: list[str]")
        self.answer = dspy.Predict("question, steps: list[str] -> answer")

    def forward(self, question):
        return self.answer(question=question, steps=self.plan(question=question).steps)


class OneInAModule(dspy.Module):
    def __init__(self):
        super().__init__()
        self.route = dspy.ChainOfThought(Route)


class Look(dspy.Signature):
    """Look at it."""

    photo: dspy.Image = dspy.InputField()
    doc: dspy.File = dspy.InputField()
    more: list[dspy.Image] = dspy.InputField()
    past: dspy.History = dspy.InputField()
    answer: str = dspy.OutputField()


class Inner(dspy.Module):
    def __init__(self):
        super().__init__()
        self.deep = dspy.Predict("question -> answer")


class Collections(dspy.Module):
    def __init__(self):
        super().__init__()
        self.steps = [dspy.Predict("question -> answer"), dspy.ChainOfThought("question -> steps: list[str]")]
        self.tools = {
            "look up": dspy.Predict("question -> answer"),
            "plan": dspy.ChainOfThought("question -> steps: list[str]"),
        }
        self.inner = Inner()


def search(query: str, limit: Optional[int] = None, kind: Literal["it's", 'a "b"'] = "it's"):
    """Searches.
    Slowly."""


def now():
    pass


TRAJECTORY = {
    "thought_0": "Look it up.",
    "tool_name_0": "search",
    "tool_args_0": {"query": "größe", "limit": 2},
    "observation_0": "two\nlines",
    "thought_1": "",
    "tool_name_1": "now",
    "tool_args_1": {},
    "observation_1": {"hour": 7, "ok": [True, None]},
    "thought_2": "",
    "tool_name_2": "search",
    "tool_args_2": '{"broken',
    "observation_2": "Error: not JSON",
}
PROGRAMS = {
    "react": lambda: dspy.ReAct("question -> answer", tools=[search, now]),
    "predict": lambda: dspy.Predict("question -> answer"),
    "shown": lambda: dspy.Predict(Look),
    "chain_of_thought": lambda: dspy.ChainOfThought(Route),
    "two_predictors": TwoPredictors,
    "one_in_a_module": OneInAModule,
    "collections": Collections,
    "field_names": lambda: dspy.Predict(
        "camelCaseText, HTMLText, q1 -> text2number: int, my_Name, URL, x_1y2"
    ),
}
DESCRIPTIONS = {"ticket": "what the customer wrote", "department": "one of them"}


def demos_of(predictor):
    # An Example as a dict would hide the keys that begin with `dspy_`, which are saved.
    return [demo.toDict() if isinstance(demo, dspy.Example) else demo for demo in predictor.demos]


def unmarked(value):
    """What DSPy keeps as a text between marks, and a history, in our form."""
    start, end = "<<CUSTOM-TYPE-START-IDENTIFIER>>", "<<CUSTOM-TYPE-END-IDENTIFIER>>"
    if isinstance(value, str) and value.startswith(start):
        [part] = json.loads(value.removeprefix(start).removesuffix(end))
        inner = part[part["type"]]
        return inner["url"] if part["type"] == "image_url" else inner
    if isinstance(value, list):
        return [unmarked(one) for one in value]
    if isinstance(value, dict):
        is_history = list(value) == ["messages"]
        return unmarked(value["messages"]) if is_history else {name: unmarked(one) for name, one in value.items()}
    return value


def without_source(demos):
    return [{name: value for name, value in demo.items() if name != "promptopt_source"} for demo in demos]


def check_written(written, saved):
    """DSPy loads what we wrote, means the same by it, and saves the same bytes."""
    versions = get_dependency_versions()
    example("write", written, versions["python"], versions["dspy"], versions["cloudpickle"])
    everything = json.loads((written / "expected.json").read_text())
    check("lists of programs", sorted(everything), sorted(PROGRAMS))
    for name, expected in everything.items():
        program, fresh = PROGRAMS[name](), PROGRAMS[name]()
        program.load(written / f"{name}.json")
        predictors = dict(program.named_predictors())
        check("predictor paths", list(predictors), list(expected))
        for path, predictor in predictors.items():
            where = f"{name}, {path}"
            prompt = expected[path]
            check("instructions", (where, predictor.signature.instructions), (where, prompt["instruction"]))
            check("demo lists", (where, unmarked(demos_of(predictor))), (where, without_source(prompt["demos"])))
            check("model settings", (where, predictor.lm), (where, None))
            if name == "react":
                written_by_dspy = dict(fresh.named_predictors())[path].signature.instructions
                check("instructions of agents, byte for byte", (path, prompt["instruction"]), (path, written_by_dspy))
            for field in predictor.signature.fields.items():
                original = dict(fresh.named_predictors())[path].signature.fields[field[0]]
                now, before = field[1].json_schema_extra, original.json_schema_extra
                description = DESCRIPTIONS.get(field[0], before["desc"])
                check("fields", (where, now["prefix"], now["desc"]), (where, before["prefix"], description))
                check("field types", (where, field[1].annotation), (where, original.annotation))
        if name == "react":
            first = program.extract.predict.demos[0]["trajectory"]
            check("trajectories, byte for byte", fresh._format_trajectory(TRAJECTORY), first)
        program.save(saved / f"{name}.json")
        original, again = (written / f"{name}.json").read_bytes(), (saved / f"{name}.json").read_bytes()
        check("files saved by DSPy, byte for byte", (name, again), (name, original))
        check("files without our marks", (name, b"promptopt" in original), (name, False))


def bootstrapped():
    """A program that DSPy's own optimizer has worked on."""
    replies = [{"reasoning": f"because {n}", "steps": f'["s{n}", "ß"]', "answer": f"a{n}"} for n in range(64)]
    dspy.configure(lm=DummyLM(replies))
    examples = [
        dspy.Example(question=f"q{n}", answer=f"label {n}", dspy_split="train").with_inputs("question")
        for n in range(12)
    ]
    optimizer = dspy.BootstrapFewShot(
        metric=lambda *_: True, max_bootstrapped_demos=3, max_labeled_demos=6
    )
    program = optimizer.compile(TwoPredictors(), trainset=examples)
    program.plan.predict.lm = dspy.LM("openai/some-model", temperature=0.7, max_tokens=300)
    return program


def values():
    """Demos with values that are easily written in another way."""
    chance = random.Random(7)
    numbers = [0.0, -0.0, 1.0, 1e15, 1e16, 1e17, 1e21, 1e22, 1.5e-5, 1e-5, 1e-7, 5e-324, 1.7976931348623157e308]
    numbers += [2**53, 2**63 - 1, -(2**63), 2**64 - 1]
    numbers += [chance.uniform(-1, 1) * 10.0 ** chance.randint(-320, 300) for _ in range(2000)]
    letters = [chr(code) for code in range(0x250)] + ["\u2028", "\u2029", "\ufeff", "\ufffe", "🦀", "\U0010ffff"]
    program = dspy.Predict("question -> answer")
    program.demos = [
        {"question": "".join(letters), "answer": numbers},
        {"question": {"": {}, "empty": [[], {}], "deep": [[[{"a": None}]]]}, "answer": True, "augmented": False},
        dspy.Example(question="an Example", answer="2", other=1, augmented=True),
    ]
    program.traces = [{"kept": "as it is"}]
    return program


def check_read(saved):
    """We read what DSPy saved, mean the same by it, and give back the same bytes."""
    programs = {"bootstrapped": bootstrapped(), "values": values()}
    for name, program in programs.items():
        program.save(saved / f"{name}.json")
    for name, make in PROGRAMS.items():
        programs[name] = make()
        programs[name].load(saved / f"{name}.json")
    files = sorted(saved.glob("*.json"))
    report = json.loads(example("read", *files))
    check("lists of programs", sorted(Path(file).stem for file in report), sorted(programs))
    for file, found in report.items():
        name = Path(file).stem
        check("files read and written byte for byte", (name, found["identical"]), (name, True))
        check("files updated with their own prompts", (name, found["identical_after_update"]), (name, True))
        check("files that take other prompts", (name, found["takes_other_prompts"]), (name, True))
        check("prompts that came back", (name, found["same_prompts"]), (name, True))
        predictors = dict(programs[name].named_predictors())
        check("paths read", (name, found["paths"]), (name, list(predictors)))
        for path, predictor in predictors.items():
            where, prompt = f"{name}, {path}", found["prompts"][path]
            check("instructions read", (where, prompt["instruction"]), (where, predictor.signature.instructions))
            expected = [
                {key: value for key, value in demo.items() if (key, value) != ("augmented", False)}
                for demo in unmarked(demos_of(predictor))
            ]
            check("demo lists read", (where, prompt["demos"]), (where, expected))
    check("demos that DSPy bootstrapped", len(programs["bootstrapped"].plan.predict.demos) > 3, True)


def python_type(kind):
    simple = {"string": str, "integer": int, "float": float, "bool": bool}
    simple |= {"date": datetime.date, "datetime": datetime.datetime}
    simple |= {"image": dspy.Image, "file": dspy.File, "history": dspy.History}
    if isinstance(kind, str):
        return simple[kind]
    [(name, inner)] = kind.items()
    if name == "optional":
        return Optional[python_type(inner)]
    if name == "union":
        return Union[tuple(map(python_type, inner))]
    if name == "enum":
        return Literal[tuple(inner)]
    return list[python_type(inner)] if name == "list" else dict[str, Any]


def python_value(value, kind, kinds):
    """A value as somebody writes it in DSPy."""
    if isinstance(kind, dict):
        [(name, inner)] = kind.items()
        if name == "list":
            return [python_value(one, inner, kinds) for one in value]
        if name == "optional":
            return None if value is None else python_value(value, inner, kinds)
        if name == "union":
            for member in inner:
                try:
                    if (found := python_value(value, member, kinds)) != value:
                        return found
                except (ValueError, TypeError):
                    pass
        return value
    if kind == "image":
        return dspy.Image(value)
    if kind == "file":
        return dspy.File(**value)
    if kind == "date":
        return datetime.date.fromisoformat(value)
    if kind == "datetime":
        return datetime.datetime.fromisoformat(value)
    if kind == "history":
        return dspy.History(messages=[python_values(turn, kinds) for turn in value])
    return value


def python_values(values, kinds):
    def typed(name, value):
        return value if value is None or name not in kinds else python_value(value, kinds[name], kinds)

    return {name: typed(name, value) for name, value in values.items()}


def dspy_signature(signature, instruction):
    def side(fields, make):
        for field in fields:
            description = {"desc": field["description"]} if field["description"] else {}
            yield field["name"], (python_type(field["type"]), make(**description))

    inputs = dict(side(signature["inputs"], dspy.InputField))
    return dspy.Signature(inputs | dict(side(signature["outputs"], dspy.OutputField)), instruction)


def check_chats():
    """Our chats are DSPy's."""
    adapters = {"chat": dspy.ChatAdapter(), "json": dspy.JSONAdapter()}
    label = {"chat": "ChatAdapter", "json": "JSONAdapter"}
    # Not splitlines, which splits at the line separators of Unicode inside texts as well.
    for line in example("chats").rstrip("\n").split("\n"):
        case = json.loads(line)
        signature = dspy_signature(case["signature"], case["prompt"]["instruction"])
        for name, adapter in adapters.items():
            fields = case["signature"]["inputs"] + case["signature"]["outputs"]
            kinds = {field["name"]: field["type"] for field in fields}
            demos = [python_values(demo, kinds) for demo in case["prompt"]["demos"]]
            chat = adapter.format(signature, demos, python_values(case["inputs"], kinds))
            check(f"{label[name]} chats, byte for byte", case[name], chat)
            counts["messages in them"] = counts.get("messages in them", 0) + len(chat)


written, saved = scratch / "written", scratch / "saved"
for folder in (written, saved):
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
check_written(written, saved)
check_read(saved)
check_chats()

print(f"against DSPy {dspy.__version__}:")
for what, count in counts.items():
    print(f"{count:7} {what}")
if differences:
    print(f"\n{len(differences)} differences, of which these are the first:\n", file=sys.stderr)
    print("\n".join(difference[:4000] for difference in differences[:5]), file=sys.stderr)
    sys.exit(1)
print("no difference")
