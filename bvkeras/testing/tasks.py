"""Checks of a task: what a `TaskSpec` says."""

import dataclasses
import json
import math

import numpy as np

from bvkeras import tasks
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.glue_metrics import compute_metrics
from bvkeras.evaluation.tokens.entity_metrics import ENTITY_METRICS
from bvkeras.serving.description import NAME, RESERVED
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.testing.check import Check, checks_of, expect, run_all

# Of kinds whose metrics are no functions of two arrays of labels.
_METRICS = {
    Kind.SPAN: ("exact", "f1"),
    Kind.TOKENS: tuple(ENTITY_METRICS),
}
_FINE_TUNED_DIM, _SMALL_DIM = 768, 384


def check_task(spec: TaskSpec) -> None:
    """Checks that every verb and file of bvkeras can take a task.

    Args:
        spec: TaskSpec.

    Raises:
        CheckError: a check fails; the first, named, in one line.

    Example:
        ```python
        import bvkeras

        bvkeras.testing.check_task(bvkeras.tasks.get("rte"))
        ```
    """
    run_all(task_checks(spec))


def task_checks(spec: TaskSpec) -> list[Check]:
    """The checks of `check_task`, to call one by one.

    Args:
        spec: TaskSpec.
    """
    return checks_of(str(spec.name), spec, _CHECKS)


def _name_can_be_exported(spec):
    expect(
        isinstance(spec.name, str)
        and NAME.fullmatch(spec.name) is not None
        and spec.name not in RESERVED,
        f"name: received {spec.name!r}, expected letters, digits and _, at "
        f"most 64, and none of {', '.join(RESERVED)}",
    )
    expect(bool(spec.title.strip()), "title: is blank")


def _name_is_its_own(spec):
    try:
        known = tasks.get(spec.name)
    except ArgumentError:
        return
    expect(known == spec, f"name: {spec.name!r} is bvkeras' own {known.title}")


def _columns(spec):
    columns = (*spec.text_columns, spec.label_column)
    expect(all(columns), f"text_columns, label_column: {columns} has a blank")
    expect(
        len(set(columns)) == len(columns),
        f"text_columns, label_column: in {columns} one comes twice",
    )


def _labels(spec):
    for label in spec.label_names or ():
        expect(
            isinstance(label, str) and bool(label.strip()),
            f"label_names: received {label!r}, expected text",
        )
    if spec.label_range is not None:
        low, high = spec.label_range
        expect(
            spec.is_regression and low < high,
            f"label_range: received {spec.label_range}, expected a lowest and "
            "a highest score, and of a regression alone",
        )


def _splits(spec):
    expect(
        bool(spec.evaluation_splits)
        and len(set(spec.splits)) == len(spec.splits),
        f"evaluation_splits: of {', '.join(spec.splits)} one comes twice, or "
        "none is scored",
    )


def _metrics(spec):
    """Every metric is known, and can score labels of this kind."""
    if spec.kind in _METRICS:
        unknown = set(spec.metrics) - set(_METRICS[spec.kind])
        expect(
            not unknown,
            f"metrics: received {', '.join(sorted(unknown))}, expected of "
            f"{', '.join(_METRICS[spec.kind])}",
        )
        return
    labels = np.arange(6) % spec.num_labels
    if spec.is_regression:
        labels = np.linspace(*(spec.label_range or (0.0, 1.0)), 6)
    for name in spec.metrics:
        try:
            score = compute_metrics([name], labels, labels)[name]
        except ArgumentError as error:
            raise AssertionError(f"metrics: {name}: {error}") from None
        expect(math.isfinite(score), f"metrics: {name} gives {score}")


def _settings(spec):
    for name in ("paper_settings", "small_settings"):
        settings = getattr(spec, name)
        expect(
            isinstance(settings, TaskSettings),
            f"{name}: is {type(settings).__name__}, expected TaskSettings",
        )
        known, pooling = spec.traits.token_poolings, settings.head.token_pooling
        expect(
            pooling in known,
            f"{name}.head.token_pooling: received {pooling!r}, expected one of "
            f"{', '.join(known)}",
        )
        least = spec.traits.fewest_tokens[len(spec.text_columns) - 1]
        found = settings.finetune.max_tokens
        expect(
            found >= least,
            f"{name}.finetune.max_tokens: received {found}, expected at least "
            f"{least}",
        )
    expect(
        spec.settings_for(_FINE_TUNED_DIM) == spec.paper_settings
        and spec.settings_for(_SMALL_DIM) == spec.small_settings,
        "settings_for: expected paper_settings from 768 features on, and "
        "small_settings below",
    )


def _record_round_trip(spec):
    """As a record of a file it is the same task again."""
    record = json.loads(json.dumps(tasks.task_to_record(spec)))
    again = tasks.task_from_record(record, "its record")
    for field in dataclasses.fields(spec):
        one, other = getattr(spec, field.name), getattr(again, field.name)
        expect(
            one == other and type(one) is type(other),
            f"{field.name}: is {one!r}, and {other!r} from its record",
        )


_CHECKS = {
    "name_can_be_exported": _name_can_be_exported,
    "name_is_its_own": _name_is_its_own,
    "columns": _columns,
    "labels": _labels,
    "splits": _splits,
    "metrics": _metrics,
    "settings": _settings,
    "record_round_trip": _record_round_trip,
}
