"""Rows of the real tasks, and what an answer is worth: reasoning-gym's generators and verifiers, and two data files.

usage: tasks.py rows TASK SEED TRAIN,SELECTION,TEST FOLDER   writes task.json and PART.jsonl into FOLDER
       tasks.py judge TASK SEED TRAIN,SELECTION,TEST [LOG]   a metric of kind `command`; LOG gets a line for each answer
       tasks.py list                                         the names of the tasks, one a line

The rows of a generator come from its seeds SEED * 100,000 + 10,000 for train, + 20,000 for selection, + 30,000 for
test, and those of a file are drawn by SEED. No two parts have a question in common.
"""

import json
import random
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "data"
PARTS = ("train", "selection", "test")

# The settings of each generator, and the most tokens of an answer. They were chosen on seed 90 by what the models
# score without any optimizer; docs/performance.md has the figures.
GENERATORS = {
    "letter_counting": ({"min_words": 3, "max_words": 6}, 12),
    "chain_sum": ({"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}, 12),
    "gcd": ({"min_value": 2, "max_value": 20}, 12),
    "calendar_arithmetic": ({"year": 2024, "tasks": ["weekday_of_date", "is_leap_year"]}, 12),
    "needle_haystack": ({"min_num_statements": 4, "max_num_statements": 6}, 12),
    "number_format": ({"max_num_candidates": 3}, 24),
}

FILES = {
    "cities": {
        "input": "message",
        "output": "city",
        "instruction": "Extract the city that the person wants to travel to.",
        "tokens": 12,
    },
    "tickets": {
        "input": "ticket",
        "output": "department",
        "instruction": "Route the support ticket to the department that should answer it: billing, shipping, returns, "
        "technical, account, sales or legal.",
        "tokens": 12,
    },
}


def described(task):
    """What a task is, apart from its rows."""
    if task in FILES:
        return FILES[task]
    if task not in GENERATORS:
        sys.exit(f"there is no task {task!r}; there are {', '.join([*FILES, *GENERATORS])}")
    tokens = GENERATORS[task][1]
    return {"input": "question", "output": "answer", "instruction": "Answer the question.", "tokens": tokens}


def entries(task, seed, sizes):
    """For each part its rows as (question, expected answer, score of an answer from 0 to 1)."""
    pools = from_file(task, seed) if task in FILES else from_generator(task, seed, max(sizes))
    taken, parts = set(), {}
    for part, size, pool in zip(PARTS, sizes, pools):
        rows = []
        for row in pool:
            key = " ".join(row[0].lower().split())
            if key not in taken:
                taken.add(key)
                rows.append(row)
            # Parts that are drawn from one file go on where the last one ended.
            if len(rows) == size:
                break
        if len(rows) < size:
            sys.exit(f"{task} has {len(rows)} different rows for {part}, and not {size}: ask for fewer")
        parts[part] = rows
    return parts


def from_file(task, seed):
    about = FILES[task]
    lines = (EXAMPLES / f"{task}.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    random.Random(seed).shuffle(rows)

    def row(given):
        question, expected = given[about["input"]], given[about["output"]]
        return question, expected, lambda answer: float(expected.lower() in answer.lower())

    pool = map(row, rows)
    return [pool] * len(PARTS)


def from_generator(task, seed, size):
    import reasoning_gym

    def pool(part):
        first = seed * 100_000 + 10_000 * (1 + PARTS.index(part))
        dataset = reasoning_gym.create_dataset(task, size=20 * size, seed=first, **GENERATORS[task][0])
        for index in range(20 * size):
            entry = dataset[index]
            yield entry["question"].strip(), str(entry["answer"]), lambda answer, entry=entry: float(
                dataset.score_answer(answer, entry))

    return [pool(part) for part in PARTS]


def verifier(task, seed, sizes):
    """A function from a question and an answer to a score and what is to be said of it."""
    known = {row[0]: row[1:] for rows in entries(task, seed, sizes).values() for row in rows}

    def verify(question, answer):
        expected, score = known[question]
        worth = min(max(score(answer), 0.0), 1.0) if isinstance(answer, str) else 0.0
        return worth, "right" if worth == 1.0 else f"expected `{expected}`, got `{answer}`"

    return verify


def write_rows(task, seed, sizes, folder):
    about = described(task)
    folder = Path(folder)
    (folder / "task.json").write_text(json.dumps(about))
    for part, rows in entries(task, seed, sizes).items():
        lines = [json.dumps({about["input"]: row[0], about["output"]: row[1]}) + "\n" for row in rows]
        (folder / f"{part}.jsonl").write_text("".join(lines))


def judge(task, seed, sizes, log=None):
    about = described(task)
    verify = verifier(task, seed, sizes)
    for line in sys.stdin:
        asked = json.loads(line)
        question, answer = asked["example"][about["input"]], asked["prediction"].get(about["output"])
        score, feedback = verify(question, answer)
        if log:
            with open(log, "a") as file:
                file.write(json.dumps({"question": question, "answer": answer, "score": score}) + "\n")
        print(json.dumps({"id": asked["id"], "score": score, "feedback": feedback}), flush=True)


def main(arguments):
    match arguments:
        case ["list"]:
            print("\n".join([*FILES, *GENERATORS]))
        case ["rows", task, seed, sizes, folder]:
            write_rows(task, int(seed), read_sizes(sizes), folder)
        case ["judge", task, seed, sizes, *log]:
            judge(task, int(seed), read_sizes(sizes), *log)
        case _:
            sys.exit(__doc__)


def read_sizes(text):
    return [int(size) for size in text.split(",")]


if __name__ == "__main__":
    main(sys.argv[1:])
