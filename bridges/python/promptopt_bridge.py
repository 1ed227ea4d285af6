"""Lets promptopt ask a program that is written in Python. One file, standard library only, Python 3.9 or newer.

A program that answers questions:

    from openai import OpenAI
    from promptopt_bridge import serve

    def answer(inputs, question):
        client = OpenAI(**question.openai)
        ...
        return {"answer": reply.choices[0].message.content}

    serve(answer)

A program of DSPy:

    from promptopt_bridge import serve_dspy

    serve_dspy(program)

In the task file: `serve = ["python3", "app.py"]`. The objects that go over the pipes: docs/program-protocol.md of promptopt.
"""

import asyncio
import contextvars
import dataclasses
import datetime
import inspect
import json
import os
import sys
import threading
import traceback
import typing

__all__ = ["Question", "components", "serve", "serve_dspy"]

# promptopt reads no longer line.
MAX_LINE_BYTES = 4 * 1024 * 1024


class Question:
    """What promptopt asks: one row, and where the models for it are.

    inputs              the fields of the row
    components          component -> the text in force
    demos               component -> demos, of components with `demos = "program"`
    base_url, api_key   for clients of OpenAI; the key is of use for this question alone
    anthropic_base_url  for clients of Anthropic, with the same key
    """

    def __init__(self, asked):
        self.id = asked["id"]
        self.inputs = asked.get("inputs") or {}
        self.components = asked.get("components") or {}
        self.demos = asked.get("demos") or {}
        self.base_url = asked.get("base_url")
        self.anthropic_base_url = asked.get("anthropic_base_url")
        self.api_key = asked.get("api_key")
        self._steps = []

    @property
    def openai(self):
        """For a client of OpenAI: `OpenAI(**question.openai)`."""
        return {"base_url": self.base_url, "api_key": self.api_key}

    @property
    def anthropic(self):
        """For a client of Anthropic: `Anthropic(**question.anthropic)`."""
        return {"base_url": self.anthropic_base_url, "api_key": self.api_key}

    @property
    def environment(self):
        """For a process of this question: this process's environment with the variables that clients read."""
        return {
            **os.environ,
            "OPENAI_BASE_URL": self.base_url or "",
            "OPENAI_API_BASE": self.base_url or "",
            "OPENAI_API_KEY": self.api_key or "",
            "ANTHROPIC_BASE_URL": self.anthropic_base_url or "",
            "ANTHROPIC_API_KEY": self.api_key or "",
        }

    def step(self, component, inputs, outputs=None, error=None):
        """Tells what one component got and gave, where the program knows that better than its requests show it."""
        step = {"component": component, "inputs": inputs, "outputs": outputs or {}}
        if error is not None:
            step["error"] = str(error)
        self._steps.append(step)


def serve(answer):
    """Answers promptopt's questions until there are no more.

    `answer(inputs, question)` gets the fields of a row and the whole Question. It returns the outputs as a dict, or the value
    of the only output. What it raises is told to promptopt and counts against the texts of this question. It may be a coroutine
    function: then all questions are tasks of one event loop. Otherwise each question has a thread of its own.

    Nothing that the program prints reaches the answers: standard output becomes standard error.
    """
    questions, answers = _take_pipes()
    if inspect.iscoroutinefunction(answer) or inspect.iscoroutinefunction(getattr(answer, "__call__", None)):
        asyncio.run(_serve_tasks(answer, questions, answers))
    else:
        _serve_threads(answer, questions, answers)


def _take_pipes():
    """The pipes to promptopt, out of reach of the program and of what it starts."""
    sys.stdout.flush()
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return questions, _Answers(answers)


class _Answers:
    def __init__(self, pipe):
        self._pipe, self._lock = pipe, threading.Lock()

    def write(self, question, outputs):
        try:
            if outputs is None:
                raise ValueError("it answered with None: return the outputs")
            line = _line({"id": question.id, "outputs": outputs, "steps": question._steps})
            if len(line) > MAX_LINE_BYTES:
                raise ValueError(f"its answer has {len(line)} bytes: at most {MAX_LINE_BYTES} are read")
        except Exception as error:
            return self.fail(question, error)
        self._write(line)

    def fail(self, question, error):
        traceback.print_exception(type(error), error, error.__traceback__)
        said = {"id": question.id, "error": traceback.format_exception_only(type(error), error)[-1].strip()[:10_000]}
        try:
            line = _line({**said, "steps": question._steps})
        except Exception:
            line = b""
        self._write(line if 0 < len(line) <= MAX_LINE_BYTES else _line(said))

    def _write(self, line):
        with self._lock:
            while line:
                line = line[self._pipe.write(line) :]


def _line(answer):
    if not answer.get("steps", True):
        del answer["steps"]
    # What is no number in JSON is refused here: a line that cannot be read is an answer that never comes.
    text = json.dumps(answer, default=_plain, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"


def _plain(value):
    """Values that JSON does not know."""
    for method in ("model_dump", "toDict", "tolist", "isoformat"):
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            return value.model_dump(mode="json") if method == "model_dump" else getattr(value, method)()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return list(value) if isinstance(value, (set, frozenset, tuple)) else str(value)


def _read(line):
    try:
        return Question(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError):
        print(f"promptopt_bridge: this line is no question: {line[:200]!r}", file=sys.stderr, flush=True)
        return None


def _serve_threads(answer, questions, answers):
    def work(question):
        try:
            outputs = answer(question.inputs, question)
            if inspect.iscoroutine(outputs):  # Of a lambda around a coroutine function.
                outputs = asyncio.run(outputs)
        except BaseException as error:  # `sys.exit` in the program ends one answer, and not all of them.
            answers.fail(question, error)
        else:
            answers.write(question, outputs)

    threads = set()
    for line in questions:
        question = _read(line)
        if question is None:
            continue
        threads = {thread for thread in threads if thread.is_alive()}
        # What the program set around `serve` holds for each answer.
        thread = threading.Thread(target=contextvars.copy_context().run, args=(work, question), daemon=True)
        thread.start()
        threads.add(thread)
    for thread in threads:
        thread.join()


async def _serve_tasks(answer, questions, answers):
    async def work(question):
        try:
            outputs = await answer(question.inputs, question)
        except BaseException as error:
            answers.fail(question, error)
            if isinstance(error, asyncio.CancelledError):
                raise
        else:
            answers.write(question, outputs)

    loop, tasks = asyncio.get_running_loop(), set()
    while True:
        line = await loop.run_in_executor(None, questions.readline)
        if not line:
            break
        question = _read(line)
        if question is not None:
            task = loop.create_task(work(question))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks, return_exceptions=True)


def serve_dspy(program, lm=None, answer=None):
    """Answers promptopt's questions with a program of DSPy.

    Each question runs on a copy of `program`. Its predictors get the instructions and demos of the question, and all that they
    ask goes to promptopt. What each predictor got and gave is told to promptopt, which shows it to whoever writes instructions.

    lm      the dspy.LM whose name and settings are used; by default the one of `dspy.configure`
    answer  `answer(program, inputs)`, how a copy is run; by default `program(**inputs)`

    With the argument `components`, as in `python3 app.py components`, it prints the texts of the program for the task file
    and ends.
    """
    if sys.argv[1:] == ["components"]:
        sys.stdout.write(components(program))
        return
    import dspy

    # A reply out of a cache would be in nobody's books.
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    template = lm or dspy.settings.lm

    def run(inputs, question):
        copy = program.deepcopy()
        models, names = [_through(dspy, template, question)], {}
        for name, predictor in _predictors(copy):
            names[id(predictor)] = name
            _install(dspy, predictor, question.components.get(name), question.demos.get(name))
            if predictor.lm is not None:
                predictor.lm = _through(dspy, predictor.lm, question)
                models.append(predictor.lm)
        watchers = [*dspy.settings.callbacks, _watcher(names, question)]
        try:
            with dspy.context(lm=models[0], callbacks=watchers, trace=[]):
                if answer is not None:
                    return answer(copy, inputs)
                return copy(**inputs) if hasattr(copy, "forward") else asyncio.run(copy.acall(**inputs))
        finally:
            for model in models:
                model.close()

    serve(run)


def components(program):
    """The predictors of a program of DSPy as `[[program.components]]` of a task file."""
    texts = []
    for name, predictor in _predictors(program):
        signature = predictor.signature
        sides = (", ".join(map(_field, side)) for side in (signature.input_fields.items(), signature.output_fields.items()))
        texts.append(
            f"[[program.components]]\nname = {_toml(name)}\ntext = {_toml(signature.instructions)}\n"
            f'demos = "program"\nsignature = {_toml(" -> ".join(sides))}\n'
        )
    return "\n".join(texts)


def _field(field):
    name, kind = field[0], _type(field[1].annotation)
    return name if kind == "str" else f"{name}: {kind}"


def _type(annotation):
    """A type in the words of a task file; what it has no word for is a text."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        kinds = [_type(one) for one in inner if one is not type(None)]
        kind = kinds[0] if len(kinds) == 1 else f"union[{', '.join(kinds)}]"
        return f"optional[{kind}]" if type(None) in inner else kind
    if origin is typing.Literal and all(isinstance(one, str) and one.replace("_", "").isalnum() for one in inner):
        return f"enum[{', '.join(inner)}]"
    if annotation is list or origin is list:
        return f"list[{_type(inner[0])}]" if inner else "list[str]"
    if annotation is dict or origin is dict or hasattr(annotation, "model_fields"):
        known = {"Image": "image", "File": "file", "History": "history"}
        return known.get(annotation.__name__, "object") if inspect.isclass(annotation) else "object"
    simple = {int: "int", float: "float", bool: "bool", datetime.date: "date", datetime.datetime: "datetime"}
    return simple.get(annotation, "str")


def _predictors(program):
    """The predictors by the names that a task file can have: `tools['look up'].predict` is `tools.look_up.predict`."""
    taken = set()
    for path, predictor in program.named_predictors():
        letters = path.replace("['", ".").replace("']", "").replace("[", ".").replace("]", "")
        name = "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in letters)
        while name in taken:
            name += "_"
        taken.add(name)
        yield name, predictor


def _install(dspy, predictor, text, demos):
    # A text that is the program's own comes without white space at its ends. Then it stays as it is.
    if text is not None and text != "\n".join(predictor.signature.instructions.strip().splitlines()):
        predictor.signature = predictor.signature.with_instructions(text)
    if demos is not None:
        predictor.demos = [dspy.Example(**demo) for demo in demos]


def _through(dspy, lm, question):
    """The same model by way of promptopt, which tries again by itself where that is of use."""
    settings = {name: value for name, value in getattr(lm, "kwargs", {}).items() if name not in _OF_A_SERVER and value is not None}
    # Its name for models that reason.
    settings["max_tokens"] = settings.pop("max_completion_tokens", settings.get("max_tokens"))
    name = (getattr(lm, "model", None) or "promptopt").split("/", 1)[-1]
    # Text completions are not spoken on the way.
    kind = "responses" if getattr(lm, "model_type", None) == "responses" else "chat"
    address = {"api_base": question.base_url, "api_key": question.api_key}
    return dspy.LM(f"openai/{name}", model_type=kind, cache=False, num_retries=0, **address, **settings)


_OF_A_SERVER = {"api_base", "base_url", "api_key", "api_version", "model_list", "headers", "extra_headers", "prompt_cache"}


def _watcher(names, question):
    """Tells the steps of the predictors with these names. A reply that does not fit its fields is a step as well."""
    from dspy.utils.callback import BaseCallback

    class Watcher(BaseCallback):
        def __init__(self):
            self.begun = {}

        def on_module_start(self, call_id, instance, inputs):
            if id(instance) in names:
                given = inputs.get("kwargs", {})
                fields = {name: given[name] for name in instance.signature.input_fields if name in given}
                self.begun[call_id] = (names[id(instance)], fields)

        def on_module_end(self, call_id, outputs, exception=None):
            if call_id not in self.begun:
                return
            name, fields = self.begun.pop(call_id)
            reply = getattr(exception, "lm_response", None)
            if exception is None:
                question.step(name, fields, dict(outputs.items()))
            else:
                question.step(name, fields, {} if reply is None else {"reply": reply}, exception)

    return Watcher()


def _toml(text):
    """A text in TOML, on several lines where it has them."""
    escaped = "".join(
        letter if letter == "\n" or (letter >= " " and letter not in '"\\\x7f') else _ESCAPES.get(letter) or f"\\u{ord(letter):04x}"
        for letter in text
    )
    return f'"""\n{escaped}"""' if "\n" in text else f'"{escaped}"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\t": "\\t", "\r": "\\r"}
