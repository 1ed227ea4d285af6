"""Programs of DSPy: `dspy_app.py NAME`, and `dspy_app.py NAME components` for the task file."""

import os
import sys

import dspy

from promptopt_bridge import serve_dspy


class Sum(dspy.Signature):
    """Add the numbers.
    Answer the question."""

    question: str = dspy.InputField()
    sum: str = dspy.OutputField()


class TwoPredictors(dspy.Module):
    def __init__(self):
        super().__init__()
        self.find = dspy.Predict("question -> numbers: list[int]")
        self.steps = [dspy.ChainOfThought("numbers: list[int] -> sum")]
        # It has a model of its own, as parts of programs do.
        self.steps[0].predict.lm = dspy.LM("openai/gpt-5-nano", api_key="canary-of-a-predictor")

    def forward(self, question):
        print("this is no answer")
        return self.steps[0](numbers=self.find(question=question).numbers)


def add(a: int, b: int = 0) -> int:
    """Adds two numbers."""
    return a + b


PROGRAMS = {
    "chain_of_thought": lambda: dspy.ChainOfThought(Sum),
    "two_predictors": TwoPredictors,
    "react": lambda: dspy.ReAct(Sum, tools=[add], max_iters=4),
}
assert "canary" not in str(os.environ)
program = PROGRAMS[sys.argv.pop(1)]()
serve_dspy(program, lm=dspy.LM("openai/gpt-4.1-mini", temperature=0.3))
