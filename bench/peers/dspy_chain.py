"""A program of DSPy whose predictors run one after the other, as the simulated tasks have it.

As a program: `dspy_chain.py PREDICTORS` answers promptopt's questions through the bridge.
"""

import json
import sys
from pathlib import Path

import dspy


class Chain(dspy.Module):
    """`predictors` are pairs of a name and a signature."""

    def __init__(self, predictors):
        super().__init__()
        self.names = [name for name, _ in predictors]
        for name, signature in predictors:
            setattr(self, name, dspy.Predict(signature))

    def forward(self, **fields):
        for name in self.names:
            predict = getattr(self, name)
            prediction = predict(**{field: fields[field] for field in predict.signature.input_fields})
            fields.update(prediction.items())
        return prediction


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bridges/python"))
    from promptopt_bridge import serve_dspy

    serve_dspy(Chain(json.loads(sys.argv.pop(1))))
