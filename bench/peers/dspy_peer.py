"""Runs an optimizer of DSPy over a task that a server on the loopback interface simulates.

usage: dspy_peer.py METHOD BASE_URL DATA OUT SEED

METHOD  miprov2, miprov2-zero-shot, copro or gepa
DATA    JSON: `signature`, `input`, `output` and the rows of `train` and `selection`; for a real task
        `instruction`, `contains` (instead of equal), `max_tokens`, `temperature` and `budget` (in calls) as well
OUT     where the state of the optimized program goes
"""

import json
import sys
from pathlib import Path

import dspy

method, base_url, data, out, seed = sys.argv[1:]
data = json.loads(Path(data).read_text())
seed = int(seed)
source, target = data["input"], data["output"]
budget = data.get("budget")

settings = {"max_tokens": data["max_tokens"]} if "max_tokens" in data else {}
lm = dspy.LM("openai/simulated", api_base=base_url, api_key="none", cache=False, num_retries=0, **settings)
dspy.configure(lm=lm)

train, selection = (
    [dspy.Example(**row).with_inputs(source) for row in data[part]] for part in ("train", "selection")
)


def metric(example, prediction, trace=None):
    expected, found = str(example[target]), str(getattr(prediction, target, None))
    if data.get("contains"):
        return expected.lower() in found.lower()
    return found == expected


def feedback(example, prediction, trace=None, name=None, steps=None):
    # In one sentence: GEPA shows it in JSON, where the simulated model sees nothing but stated rules.
    text = f"expected {example[target]} for {example[source]}"
    return dspy.Prediction(score=float(metric(example, prediction)), feedback=text)


program = dspy.Predict(dspy.Signature(data["signature"], data.get("instruction")))
if method.startswith("miprov2"):
    demos = 0 if method == "miprov2-zero-shot" else 4
    candidates, trials, minibatch = (4, 5, 15) if budget else (10, 20, 25)
    optimizer = dspy.MIPROv2(
        metric=metric, auto=None, num_candidates=candidates, num_threads=4, seed=seed,
        max_bootstrapped_demos=demos, max_labeled_demos=demos,
    )
    program = optimizer.compile(
        program, trainset=train, valset=selection, num_trials=trials, seed=seed,
        minibatch_size=min(minibatch, len(selection)), minibatch_full_eval_steps=5,
    )
elif method == "copro":
    # It knows one set of examples; the selection set is the one that it chooses on.
    optimizer = dspy.COPRO(metric=metric, breadth=10, depth=3)
    program = optimizer.compile(
        program, trainset=selection, eval_kwargs={"num_threads": 4, "display_progress": False}
    )
elif method == "gepa":
    optimizer = dspy.GEPA(
        metric=feedback, max_metric_calls=budget or 1000, reflection_lm=lm, num_threads=4, seed=seed
    )
    program = optimizer.compile(program, trainset=train, valset=selection)
else:
    sys.exit(f"there is no method {method!r}; give miprov2, miprov2-zero-shot, copro or gepa")
program.save(out)
