"""Whether a table of predictions is of a task's own examples."""

import numpy as np

from bvkeras.data.examples import Examples
from bvkeras.errors import DataError
from bvkeras.evaluation.outcomes import Outcomes, sorted_labels
from bvkeras.tasks.label_sets import join_labels
from bvkeras.tasks.spec import TaskSpec

# A score that went through float32 and a few digits.
_CLOSE = 1e-3


def check_labels(
    outcomes: Outcomes, task: TaskSpec, examples: Examples
) -> None:
    """Refuses a table whose labels are not those of the examples it names.

    Indices that are off by one name examples, too, but others.

    Args:
        outcomes: Outcomes. Its ids are those of examples. Classes may be
            there by name or by number.
        task: TaskSpec.
        examples: Examples. The split.

    Raises:
        DataError: a label is another one; names the first such row.
    """
    places = {name: place for place, name in enumerate(examples.ids)}
    for name in outcomes.ids:
        if name not in places:
            raise DataError(
                f"{outcomes.path}, row {name!r}: {task.name} "
                f"{examples.split} has no such example"
            )
    expected = examples.labels[[places[name] for name in outcomes.ids]]
    if task.is_regression != outcomes.is_regression:
        kinds = ("classes", "numbers")
        raise DataError(
            f"{outcomes.path}: has {kinds[outcomes.is_regression]}, "
            f"{task.name} has {kinds[task.is_regression]}"
        )
    if task.several_labels != outcomes.several_labels:
        kinds = ("one class a row", "several labels")
        raise DataError(
            f"{outcomes.path}: has {kinds[outcomes.several_labels]}, "
            f"{task.name} has {kinds[task.several_labels]}"
        )
    found = outcomes.labels
    if task.several_labels and task.label_names:
        shown = np.array(
            [
                sorted_labels(join_labels(task.label_names, row))
                for row in expected
            ]
        )
        same = found == shown
    elif task.is_regression:
        same = np.abs(found - expected) <= _CLOSE
        shown = expected
    else:
        shown = np.array(task.label_names)[expected]
        same = (found == shown) | (found == expected.astype(str))
    if not same.all():
        row = int(np.argmin(same))
        raise DataError(
            f"{outcomes.path}, row {outcomes.ids[row]!r}: its label is "
            f"{found[row]}, in {task.name} {examples.split} it is "
            f"{shown[row]}, as for {int((~same).sum()):,} of {len(found):,} "
            "rows; expected indices of the same examples"
        )
