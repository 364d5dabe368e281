"""Tables as strangers have them: of each kind one, with odd texts and gaps.

python -m tests.e2e.own_tables DIRECTORY --rows 400
"""

import argparse
import csv
import gzip
import json
import pathlib
from typing import NamedTuple

import pyarrow
import pyarrow.parquet

# Stands in front of a text, and gives its label.
_CLASSES = {
    "weather": "7 7 7",
    "arts, music": "z z z",
    '"news"': "a a q",
    "ספורט": "un un",
}
_LABELS = {"loud": "7 7", "old, or 😀": "z z"}
_SCORES = {1.5: "z z z", 4.25: "7 7 7"}
_PAIRS = {"same": "7 7", "other": "z z"}
# The last is no text.
ODD_TEXTS = (
    "plain",
    "🙂👩‍👩‍👧 emoji",
    'in "quotes", and \'more',
    "a line\nbreak",
    "a\ttab; a comma, too",
    "שלום עולם",
    "مرحبا | <b>bold</b> &amp;",
    "e\u0301 \u200b zero width",
    "",
)


class OwnTable(NamedTuple):
    """A table on disk, and what to tell the command line of it.

    Attributes:
        name: str. The task's.
        path: path.
        options: tuple of str. Columns and kind, as of `bvkeras describe`.
        examples: list of pairs of texts (a tuple of one or two) and label. Of
            the rows that stay: none with an empty text, or without a label.
    """

    name: str
    path: pathlib.Path
    options: tuple[str, ...]
    examples: list[tuple[tuple[str, ...], object]]


def write_tables(directory: pathlib.Path, rows: int = 64) -> list[OwnTable]:
    """Writes four tables: classes, several labels, scores, and pairs.

    CSV with a byte order mark and CRLF, packed JSON lines, TSV, Parquet.

    Args:
        directory: path. Made if it is not there.
        rows: int. Of each table. One text in nine is empty, and there is
            one row more without a label, where that is not an answer.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return [
        _classes(directory / "four classes.csv", rows),
        _labels(directory / "traits.jsonl.gz", rows),
        _scores(directory / "scores.tsv", rows),
        _pairs(directory / "pairs.parquet", rows),
    ]


def _classes(path, rows):
    made = _texts(_CLASSES, rows)
    with open(path, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(["id", "review", "topic"])
        for i, (text, label) in enumerate(made):
            writer.writerow([i, text, label])
        writer.writerow([rows, "a text without a label", ""])
    options = ("--text", "review", "--label", "topic")
    return _table("topics", path, options, made)


def _labels(path, rows):
    made = []
    for i in range(rows):
        labels = [name for n, name in enumerate(_LABELS) if i >> n & 1]
        words = " ".join(_LABELS[name] for name in labels)
        # In blocks of as many as there are sets of labels.
        odd = ODD_TEXTS[i // 4 % len(ODD_TEXTS)]
        made.append((odd and f"{words} {odd} {i}", labels))
    # An empty list is no label, as null is.
    made[0] = ("plain", None)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for text, labels in made:
            line = {"text": text, "label": labels, "more": None}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return _table("traits", path, ("--kind", "multilabel"), made)


def _scores(path, rows):
    made = [
        # A score of its own for each row, by its words.
        (text, round(score + i / 1000, 3))
        for i, (text, score) in enumerate(_texts(_SCORES, rows))
    ]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(["score", "text"])
        writer.writerows((score, text) for text, score in made)
        writer.writerow(["", "a text without a score"])
    options = ("--label", "score", "--kind", "regression")
    return _table("scores", path, options, made)


def _pairs(path, rows):
    made = _texts(_PAIRS, rows)
    seconds = [
        f"a b {ODD_TEXTS[i % (len(ODD_TEXTS) - 1)]}" for i in range(rows)
    ]
    table = {
        "first": [text for text, _ in made] + ["a"],
        "second": [*seconds, "a"],
        "label": [label for _, label in made] + [None],
    }
    pyarrow.parquet.write_table(pyarrow.table(table), path)
    options = ("--text", "first", "--text-b", "second")
    return _table("pairs", path, options, made, seconds)


def _texts(words, rows):
    """Texts and labels by turns, each label with each odd text."""
    labels = list(words)
    made = []
    for i in range(rows):
        label = labels[i % len(labels)]
        odd = ODD_TEXTS[i // len(labels) % len(ODD_TEXTS)]
        made.append((odd and f"{words[label]} {odd} {i}", label))
    return made


def _table(name, path, options, made, seconds=None):
    examples = [
        ((text,) if seconds is None else (text, seconds[row]), label)
        for row, (text, label) in enumerate(made)
        if text
    ]
    options = ("--name", name, *options)
    return OwnTable(name, path, options, examples)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=64)
    given = parser.parse_args()
    for table in write_tables(given.directory, given.rows):
        print(table.path, *table.options)
