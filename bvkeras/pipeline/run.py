"""The paper's steps in order: fine-tune, extract, train heads, compare."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from bvkeras import fileio, tasks
from bvkeras.data.left_out import write_left_out
from bvkeras.encoders import hub
from bvkeras.errors import ArgumentError, DivergedError, RunError
from bvkeras.evaluation.comparison import Comparison
from bvkeras.pipeline.plan import plan
from bvkeras.pipeline.run_state import RunState
from bvkeras.pipeline.step import Step
from bvkeras.pipeline.steps.report import Report
from bvkeras.schema import OBJECT, TEXT
from bvkeras.tasks.spec import TaskSpec

_SETTINGS_FILE = "settings.json"
# Kept of a model on the hub: its name with the commit.
_BACKBONE = "backbone"


def run(
    task: str | os.PathLike | TaskSpec,
    backbone: str,
    output_dir: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    frozen: bool = True,
    control: bool = False,
    skip_bad: bool = False,
    dev_threshold: bool = False,
    threshold_metric: str | None = None,
    notes: Sequence[str] = (),
    command: str = "",
    **overrides: Any,
) -> Comparison:
    """Runs the paper's steps on one task and compares what they give.

    For each stop point of fine-tuning: the fine-tuned encoder, scored; all
    its hidden states, cached; a pooled head trained on them, scored; but for
    spans, a regression on their mean, scored. Then the same head and
    regression on the encoder as it came, and, if asked for, the encoder after
    one more epoch. Each step finds its finished work in `output_dir` and goes
    on from there.

    Of a span task each system first answers the questions held out from the
    training file, and the threshold of no answer is chosen on those.

    Args:
        task: str, path or TaskSpec. As `bvkeras.tasks.get` takes it, or one
            of your own. The contexts of a span task are cut by the spec's
            plan of windows.
        backbone: str. What `load_backbone` opens. Of a model on the Hugging
            Face hub the commit is kept: a run that is taken up again opens
            the same.
        output_dir: str or path. Everything is written below it.
        data_dir: str or path. Official files or a prepared TFDS directory.
            Defaults to the task's own source.
        frozen: bool. Whether to train a head, and a regression, on the
            encoder as it came. Defaults to `True`.
        control: bool. Whether to train the encoder one epoch further, with a
            new warm-up and decay, as a control. Defaults to `False`.
        skip_bad: bool. Whether malformed questions of a span task are left
            out and counted. Defaults to `False`: they are errors.
        dev_threshold: bool. Whether a span task's threshold is chosen on the
            split that is scored, as the official script's best scores are.
            Defaults to `False`. Of a span task alone, as is `skip_bad`.
        threshold_metric: str, or None. The metric that a span task's threshold
            is chosen for, `"exact"` or `"f1"`. Defaults to the task's first.
        notes: sequence of str. What the report says besides, as of a table
            that was read. Defaults to nothing.
        command: str. The command line that asks for it, for the report.
            Defaults to nothing.
        **overrides: settings that replace the task's own; see `RunSettings`.

    Returns:
        Comparison; also in `report.json`, `report.md`, `report.html` and
        `plots/`.

    Raises:
        DivergedError: a learning rate is too high. `output_dir` is free for
            another one.
        BvkerasError: an argument, the data or the encoder cannot be used, or
            `output_dir` holds a run with other settings.
    """
    output_dir = pathlib.Path(output_dir)
    state, record = _prepared(
        task,
        backbone,
        output_dir,
        data_dir,
        overrides,
        dev_threshold=dev_threshold,
        threshold_metric=threshold_metric,
        skip_bad=skip_bad,
        notes=notes,
        command=command,
    )
    with fileio.directory_lock(output_dir):
        _check_directory(output_dir, record, state.task)
        for examples in state.examples.values():
            write_left_out(examples, output_dir)
        steps = plan(state, frozen, control)
        for step in steps:
            try:
                step.perform()
            except DivergedError:
                # Free for a lower rate; what was finished without it stands.
                (output_dir / _SETTINGS_FILE).unlink(missing_ok=True)
                raise
            # Not before something was made: a run that cannot start leaves
            # the directory free.
            if step is steps[0]:
                tasks.write_task(state.task, output_dir / tasks.TASK_FILE)
                fileio.write_json(output_dir / _SETTINGS_FILE, record)
        report = steps[-1]
        assert isinstance(report, Report)
        assert report.comparison is not None
        return report.comparison


def check_run(
    task: str | TaskSpec,
    backbone: str,
    output_dir: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    frozen: bool = True,
    control: bool = False,
    **arguments: Any,
) -> list[Step]:
    """What `run` would do; refuses what it would, and writes nothing.

    The encoder is opened and the data is read, as `run` does.

    Args:
        task: str or TaskSpec. As `run`.
        backbone: str. As `run`.
        output_dir: str or path. As `run`; it need not be there.
        data_dir: str or path. As `run`.
        frozen: bool. As `run`.
        control: bool. As `run`.
        **arguments: the others, as `run`.

    Returns:
        list of Step, in order. Each says what it reads, what it writes, and
        whether it is finished.

    Raises:
        BvkerasError: as `run`.
    """
    names = ("dev_threshold", "threshold_metric", "skip_bad")
    options = {name: arguments.pop(name) for name in names if name in arguments}
    state, _ = _prepared(
        task, backbone, pathlib.Path(output_dir), data_dir, arguments, **options
    )
    return plan(state, frozen, control)


def _prepared(
    task: str | os.PathLike | TaskSpec,
    backbone: str,
    output_dir: pathlib.Path,
    data_dir: str | os.PathLike | None,
    overrides: dict[str, Any],
    *,
    dev_threshold: bool = False,
    threshold_metric: str | None = None,
    **options: Any,
) -> tuple[RunState, dict[str, Any]]:
    """A run before its first step, and the record of its settings."""
    task = tasks.spec_of(task)
    for name, given in (
        ("dev_threshold", dev_threshold),
        ("threshold_metric", threshold_metric),
    ):
        if given and not task.traits.has_threshold:
            raise ArgumentError(
                f"{name}: expected a task of questions, got {task.name}"
            )
    threshold_metric = threshold_metric or task.metrics[0]
    if threshold_metric not in task.metrics:
        raise ArgumentError(
            f"threshold_metric: expected one of {', '.join(task.metrics)}; "
            f"got {threshold_metric!r}"
        )
    backbone = hub.pinned(backbone, _earlier_backbone(output_dir))
    state = RunState(
        task,
        backbone,
        output_dir,
        data_dir,
        overrides,
        dev_threshold=dev_threshold,
        threshold_metric=threshold_metric,
        **options,
    )
    record = {
        "task": task.name,
        "pairs": task.pairs,
        **state.settings.as_record(),
    }
    if backbone.startswith(hub.SCHEME):
        record[_BACKBONE] = backbone
    _check_directory(output_dir, record, state.task)
    return state, record


def _earlier_backbone(output_dir: pathlib.Path) -> str | None:
    """The model on the hub that a run there has begun with, and its commit."""
    path = output_dir / _SETTINGS_FILE
    if not path.exists():
        return None
    schema = {**OBJECT, "properties": {_BACKBONE: TEXT}}
    return fileio.read_json(path, schema).get(_BACKBONE)


def _check_directory(
    output_dir: pathlib.Path, record: dict[str, Any], task: TaskSpec
) -> None:
    """Refuses, before any work, a directory of another task's run, or settings.

    The steps would do so too, but only one by one, and fine-tuning to more
    stop points would first overwrite the snapshots of fewer.
    """
    path = output_dir / _SETTINGS_FILE
    if path.exists():
        found = fileio.read_json(path, OBJECT)
        was, wants = found.get(_BACKBONE), record.get(_BACKBONE)
        if was != wants:
            raise RunError(
                f"{output_dir} was made with backbone = {was or 'another'}, "
                f"not {wants or 'this'}; use another output directory, or "
                "remove it"
            )
        fileio.require_same(output_dir, found, record)
        fileio.require_same(
            output_dir,
            tasks.task_to_record(tasks.read_task(output_dir)),
            tasks.task_to_record(task),
        )
