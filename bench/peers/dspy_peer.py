"""Runs an optimizer of DSPy over a task that a server on the loopback interface answers.

usage: dspy_peer.py METHOD BASE_URL DATA OUT SEED

METHOD  miprov2, miprov2-zero-shot, copro or gepa
DATA    JSON: `signature` (or `predictors`, pairs of a name and a signature, a chain where there are several), `input`, `output` and the rows of
        `train` and `selection`; for a real task
        `instruction`, `contains` (instead of equal), `max_tokens`, `temperature` and `budget` (in calls) as well, and
        where bench/real measures: `task`, `seed` and `sizes` (whose verifier judges), `plain` (the format without
        markers), and `writer` (`base_url` and `max_tokens` of the model that writes instructions)
OUT     where the state of the optimized program goes

Ends with status 3, and the first line of the error as its last one, where DSPy ends with an error.
"""

import json
import sys
import traceback
from pathlib import Path

import dspy

method, base_url, data, out, seed = sys.argv[1:]
data = json.loads(Path(data).read_text())
seed = int(seed)
source, target = data["input"], data["output"]
budget = data.get("budget")
plain = data.get("plain")
if "task" in data:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "real"))
    import tasks

    verify = tasks.verifier(data["task"], data["seed"], data["sizes"])


def model(url, max_tokens=None, **settings):
    if max_tokens is not None:
        settings["max_tokens"] = max_tokens
    return dspy.LM("openai/simulated", api_base=url, api_key="none", cache=False, num_retries=0, **settings)


lm = model(base_url, data.get("max_tokens"), **({"stop": ["\n"]} if plain else {}))
writer = model(data["writer"]["base_url"], data["writer"]["max_tokens"]) if "writer" in data else lm
dspy.configure(lm=lm)

train, selection = (
    [dspy.Example(**row).with_inputs(source) for row in data[part]] for part in ("train", "selection")
)


class PlainAdapter(dspy.Adapter):
    """The format of promptopt's `plain`: `name: value` lines, for models that are too small for markers."""

    def format(self, signature, demos, inputs):
        def user(row):
            lines = [f"{name}: {row[name]}" for name in signature.input_fields if name in row]
            return {"role": "user", "content": "\n".join([*lines, f"{target}:"])}

        chat = [{"role": "system", "content": signature.instructions.strip()}]
        for demo in demos:
            chat += [user(demo), {"role": "assistant", "content": str(demo[target])}]
        return [*chat, user(inputs)]

    def parse(self, signature, completion):
        return {target: completion.strip().removeprefix(f"{target}:").strip()}


class Plain(dspy.Module):
    """A predictor whose requests are in the plain format; what DSPy asks for itself stays in its own."""

    def __init__(self, predict):
        super().__init__()
        self.predict = predict

    def forward(self, **inputs):
        with dspy.context(adapter=PlainAdapter()):
            return self.predict(**inputs)


def judged(example, prediction):
    """The score and what is to be said of it."""
    expected, found = str(example[target]), str(getattr(prediction, target, None))
    if "task" in data:
        return verify(example[source], found)
    right = expected.lower() in found.lower() if data.get("contains") else found == expected
    # In one sentence: GEPA shows it in JSON, where the simulated model sees nothing but stated rules.
    return float(right), f"expected {expected} for {example[source]}"


def metric(example, prediction, trace=None):
    score, _ = judged(example, prediction)
    # While demos are made, DSPy asks whether an answer is right.
    return score if trace is None else score == 1.0


def feedback(example, prediction, trace=None, name=None, steps=None):
    score, text = judged(example, prediction)
    return dspy.Prediction(score=score, feedback=text)


def sizes():
    """Breadth and depth of COPRO, and candidates, trials and minibatch of MIPROv2, that come near the budget."""
    if not budget:
        return (10, 3), (10, 20, 25)
    breadth = max(2, budget // (2 * len(selection)))
    return (breadth, 2), ((4, 5, 15) if budget >= 250 else (3, 3, 10))


def optimized(program):
    (breadth, depth), (candidates, trials, minibatch) = sizes()
    if method.startswith("miprov2"):
        demos = 0 if method == "miprov2-zero-shot" else 4
        optimizer = dspy.MIPROv2(
            metric=metric, auto=None, num_candidates=candidates, num_threads=4, seed=seed, prompt_model=writer,
            max_bootstrapped_demos=demos, max_labeled_demos=demos,
        )
        return optimizer.compile(
            program, trainset=train, valset=selection, num_trials=trials, seed=seed,
            minibatch_size=min(minibatch, len(selection)), minibatch_full_eval_steps=5,
        )
    if method == "copro":
        # It knows one set of examples; the selection set is the one that it chooses on.
        optimizer = dspy.COPRO(metric=metric, breadth=breadth, depth=depth, prompt_model=writer)
        return optimizer.compile(
            program, trainset=selection, eval_kwargs={"num_threads": 4, "display_progress": False}
        )
    if method == "gepa":
        optimizer = dspy.GEPA(
            metric=feedback, max_metric_calls=budget or 1000, reflection_lm=writer, num_threads=4, seed=seed
        )
        return optimizer.compile(program, trainset=train, valset=selection)
    sys.exit(f"there is no method {method!r}; give miprov2, miprov2-zero-shot, copro or gepa")


predictors = data.get("predictors") or [("predict", data["signature"])]
if len(predictors) > 1:
    from dspy_chain import Chain

    predict = Chain(predictors)
else:
    [(_, signature)] = predictors
    predict = dspy.Predict(dspy.Signature(signature, data.get("instruction")))
try:
    program = optimized(Plain(predict) if plain else predict)
except Exception as error:
    traceback.print_exc()
    first = (str(error).strip().splitlines() or [""])[0]
    print(f"{type(error).__name__}: {first}", file=sys.stderr, flush=True)
    sys.exit(3)
(program.predict if plain else program).save(out)
