"""Tagged words: each type's part of the report."""

import os
from collections.abc import Mapping
from typing import Any

from bvkeras.evaluation.tokens.entity_metrics import (
    entity_metrics,
    type_counts,
)
from bvkeras.evaluation.tokens.tagged_words_file import read_tagged
from bvkeras.tasks.tag_scheme import TagScheme

_SCORES = ("entity_precision", "entity_recall", "entity_f1")


def type_table(
    split: str,
    paths: Mapping[str, str | os.PathLike],
    scheme: TagScheme,
) -> dict[str, Any]:
    """Precision, recall and F1 of each type of entities.

    Args:
        split: str. What was scored.
        paths: mapping of system to its file of answers.
        scheme: TagScheme. Of the tags.

    Returns:
        dict with `title`, `note`, `columns`, and `rows`, as a report's
        tables are.

    Raises:
        DataError: a file is no file of answers.
    """
    systems = {}
    for name, path in paths.items():
        found = read_tagged(path)
        systems[name] = type_counts(found.labels, found.predictions, scheme)
    kinds = sorted({kind for counts in systems.values() for kind in counts})
    rows = [
        [
            kind,
            name,
            counts[kind].labelled,
            counts[kind].predicted,
            *entity_metrics(_SCORES, counts[kind]).values(),
        ]
        for kind in kinds
        for name, counts in systems.items()
        if kind in counts
    ]
    return {
        "title": f"Types of entities on {split}",
        "note": (
            "Entities that are labelled and that are given; one is right if "
            "its words and its type are."
        ),
        "columns": [
            *("type", "system", "labelled", "given"),
            *("precision", "recall", "F1"),
        ],
        "rows": rows,
    }
