"""Several labels a text: each label's part of the report."""

import os
from collections.abc import Mapping
from typing import Any

from bvkeras.evaluation.label_errors import by_label
from bvkeras.evaluation.label_metrics import LabelCounts
from bvkeras.evaluation.predictions import read_predictions


def label_table(
    split: str, paths: Mapping[str, str | os.PathLike]
) -> dict[str, Any]:
    """Precision, recall and F1 of each label.

    Args:
        split: str. What was scored.
        paths: mapping of system to its predictions file.

    Returns:
        dict with `title`, `note`, `columns`, and `rows`, as a report's
        tables are.

    Raises:
        DataError: a file is no predictions file.
    """
    systems = {}
    for name, path in paths.items():
        found = read_predictions(path)
        assert found.label_names is not None
        counts = LabelCounts.of(found.labels, found.predictions)
        systems[name] = by_label(counts, found.label_names)
    rows = [
        [
            label,
            name,
            of_label[label]["rows"],
            of_label[label]["predicted"],
            *(
                "-" if (value := of_label[label][key]) is None else value
                for key in ("precision", "recall", "f1")
            ),
        ]
        for label in next(iter(systems.values()), {})
        for name, of_label in systems.items()
    ]
    return {
        "title": f"Labels on {split}",
        "note": (
            "Rows that have a label, and those that it is predicted for: the "
            "labels with a probability of one half or more."
        ),
        "columns": [
            *("label", "system", "rows", "predicted"),
            *("precision", "recall", "F1"),
        ],
        "rows": rows,
    }
