"""Writes csv_of_python.json: texts, and the rows that Python's csv module reads in them (null for an error)."""

import csv
import io
import json
import pathlib
import random


def rows(text):
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error:
        return None


chosen = random.Random(13)
pieces = ["a", "é", "1", '"', '"', '""', ",", ",", "\n", "\r\n", ";"]
cells = ["a", "é", 'a"b', "", '""', '"a,b"', '"a\nb"', '"a""b"', '"\r\n"', ";"]


def line():
    return chosen.choice(cells) + "," + chosen.choice(cells) + chosen.choice(["\n", "\r\n"])


texts = []
while len(texts) < 400:
    if chosen.random() < 0.1:
        text = "x,y\n" + "".join(line() for _ in range(chosen.randrange(1, 5)))
    else:
        text = "x,y\n" + "".join(chosen.choice(pieces) for _ in range(chosen.randrange(4, 24)))
    read = rows(text)
    # Of texts with rows of other lengths a few are enough.
    if read is None or all(len(row) == 2 for row in read) or chosen.random() < 0.05:
        texts.append({"text": text, "rows": read})
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text("[\n" + ",\n".join(json.dumps(one, ensure_ascii=False) for one in texts) + "\n]\n", encoding="utf-8")
