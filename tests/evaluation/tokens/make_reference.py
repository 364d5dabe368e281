"""Makes `seqeval_reference.json`; needs seqeval 1.2.2, which the tests do not.

python tests/evaluation/tokens/make_reference.py
"""

import json
import pathlib
import random
import warnings

from seqeval.metrics import (
    accuracy_score,
    f1_score,
    precision_score,
    recall_score,
)
from seqeval.metrics.sequence_labeling import get_entities

TYPES = ("LOC", "PER", "MISC-1")
CASES = (
    ("iob1", "IB", 40),
    ("iob2", "BI", 40),
    ("iobes", "BIES", 40),
)


def sentence(chance, letters, words):
    """Tags at random: most of the sequences are none of their scheme."""
    choices = [f"{letter}-{kind}" for letter in letters for kind in TYPES]
    return [
        chance.choice(choices) if chance.random() < 0.6 else "O"
        for _ in range(words)
    ]


def changed(chance, tags, letters):
    """A prediction: some tags are others."""
    others = sentence(chance, letters, len(tags))
    return [
        other if chance.random() < 0.3 else tag
        for tag, other in zip(tags, others, strict=True)
    ]


def main():
    chance = random.Random(0)
    warnings.simplefilter("ignore")
    cases = []
    for scheme, letters, count in CASES:
        for _ in range(count):
            labels = [
                sentence(chance, letters, chance.randint(1, 12))
                for _ in range(chance.randint(1, 4))
            ]
            predictions = [changed(chance, tags, letters) for tags in labels]
            cases.append(
                {
                    "scheme": scheme,
                    "labels": labels,
                    "predictions": predictions,
                    "entities": [get_entities(tags) for tags in labels],
                    "metrics": {
                        "entity_f1": f1_score(labels, predictions),
                        "entity_precision": precision_score(
                            labels, predictions
                        ),
                        "entity_recall": recall_score(labels, predictions),
                        "word_accuracy": accuracy_score(labels, predictions),
                    },
                }
            )
    path = pathlib.Path(__file__).with_name("seqeval_reference.json")
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
