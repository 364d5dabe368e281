"""Exporting what `bvkeras run` and its steps have left on disk."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import keras

from bvkeras import fileio
from bvkeras.cache.format import require_not_imported
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, DataError
from bvkeras.schema import NUMBER, TEXT, list_of, record_of
from bvkeras.serving import layout
from bvkeras.serving.saved_model import add_tasks, export
from bvkeras.serving.served_head import ServedHead
from bvkeras.serving.served_task import ServedTask
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.window_plan import WindowPlan
from bvkeras.training.finetune import Snapshot, snapshot_directory
from bvkeras.training.head import TrainedHead

SYSTEMS = ("head", "frozen", "encoder", "regression", "frozen_regression")
# What a saved `TextClassifier` and its like are known by.
MODEL_FILE = "model.json"
_PART_FILES = ("snapshot.json", "head.json")
_SETTINGS_FILE = "settings.json"
# What those who look for a run's parts must find in its settings.json.
RUN_SETTINGS_SCHEMA = record_of(epochs={**list_of(NUMBER), "minItems": 1})


class _Source(NamedTuple):
    """A head, the digests it was trained with, and where its encoder is."""

    path: pathlib.Path
    spec: TaskSpec
    task: ServedTask
    digest: str | None
    tokenizer: str | None
    encoder: str | os.PathLike | None


def export_runs(
    runs: Sequence[str | os.PathLike],
    directory: str | os.PathLike,
    *,
    system: str = "head",
    epochs: float | None = None,
    encoder: str | os.PathLike | None = None,
    dtype: str = "float32",
    add: bool = False,
) -> pathlib.Path:
    """Exports the heads of finished runs, which share one encoder.

    Args:
        runs: sequence of str or path. Each what `bvkeras run`, `bvkeras
            finetune` (an `epoch_…` folder of it) or `bvkeras train` wrote.
        directory: str or path. Gets a new numbered version.
        system: str. What to take of a run: `"head"`, the pooled head on the
            fine-tuned encoder; `"frozen"`, the one on the encoder as it came;
            `"encoder"`, the fine-tuned encoder with its own head;
            `"regression"` and `"frozen_regression"`, the regression on either
            encoder. Defaults to `"head"`.
        epochs: float. The stop point of fine-tuning. Defaults to the last.
        encoder: str or path. What `load_backbone` opens, where the folder
            does not say it: for a frozen encoder and for what `bvkeras train`
            wrote. Defaults to the name in the run's report.
        dtype: str. As `bvkeras.serving.export`.
        add: bool. Whether the heads join those of the newest version in
            `directory`, on its encoder, in its type. Defaults to `False`.

    Returns:
        Path of the new version.

    Raises:
        ArgumentError: an argument has no possible value, or the heads are not
            of one encoder.
        BackboneError: the encoder cannot be opened.
        CacheError: a head is of imported hidden states, which need what
            computed them.
        DataError: a folder is not what it should be, or is not finished.
        RunError: another process is writing to `directory`.
    """
    _check_system(system)
    if not runs:
        raise ArgumentError("runs: received none, expected at least one")
    sources = [
        _open(pathlib.Path(path), system, epochs, encoder) for path in runs
    ]
    first = sources[0]
    opened = None if add and first.digest else _open_encoder(first)
    digest = first.digest or (opened.digest() if opened else "")
    for source in sources[1:]:
        found = source.digest or _open_encoder(source).digest()
        if found != digest:
            raise ArgumentError(
                f"runs: {source.path} is of the encoder {found[:12]}…, "
                f"{first.path} of {digest[:12]}…; heads share an export if "
                "they share an encoder, as those with --system frozen do"
            )
    served = [source.task for source in sources]
    if add:
        version = layout.version_directory(directory)
        about = layout.read_description(version)["tokenizer"]
        _check_tokenizer(sources, about["digest"])
        return add_tasks(served, directory, encoder_digest=digest)
    opened = opened or _open_encoder(first)
    if opened.digest() != digest:
        raise ArgumentError(
            f"encoder: {opened.name} is not the one that the head in "
            f"{first.path} was trained on"
        )
    _check_tokenizer(sources, opened.tokenizer.digest)
    return export(opened, served, directory, dtype=dtype)


def open_run(
    path: str | os.PathLike,
    system: str = "head",
    epochs: float | None = None,
    encoder: str | os.PathLike | None = None,
) -> tuple[ServedTask, Encoder, TaskSpec]:
    """Opens the head of a finished run, its encoder and its task.

    Args:
        path: str or path. As one of `export_runs`.
        system: str. As there.
        epochs: float. As there.
        encoder: str or path. As there.

    Raises:
        ArgumentError: an argument has no possible value, or the encoder is
            not the one that the head was trained on.
        BackboneError: the encoder cannot be opened.
        CacheError: the head is of imported hidden states, which need what
            computed them.
        DataError: the folder is not what it should be, or is not finished.
    """
    _check_system(system)
    source = _open(pathlib.Path(path), system, epochs, encoder)
    opened = _open_encoder(source)
    if source.digest not in (None, opened.digest()):
        raise ArgumentError(
            f"encoder: {opened.name} is not the one that the head in "
            f"{source.path} was trained on"
        )
    _check_tokenizer([source], opened.tokenizer.digest)
    return source.task, opened, source.spec


def _check_system(system: str) -> None:
    if system not in SYSTEMS:
        raise ArgumentError(
            f"system: received {system!r}, expected one of {', '.join(SYSTEMS)}"
        )


def _check_tokenizer(sources: Sequence[_Source], digest: str) -> None:
    for source in sources:
        if source.tokenizer not in (None, digest):
            raise ArgumentError(
                f"runs: the head in {source.path} was trained with the "
                f"tokenizer {source.tokenizer[:12]}…, expected {digest[:12]}…"
            )


def is_run(path: pathlib.Path) -> bool:
    """Whether a folder is what `open_run` opens, by the files in it."""
    names = (MODEL_FILE, *_PART_FILES, _SETTINGS_FILE)
    return any((path / name).is_file() for name in names)


def _open(path, system, epochs, encoder) -> _Source:
    snapshot_file, head_file = _PART_FILES
    if (path / MODEL_FILE).is_file():
        return _head(path / "head", path / "encoder")
    if (path / snapshot_file).is_file():
        return _snapshot(path)
    if (path / head_file).is_file():
        return _head(path, encoder)
    if not (path / _SETTINGS_FILE).is_file():
        raise DataError(
            f"{path} holds no finished run, snapshot or head: it has no "
            "settings.json, snapshot.json or head.json"
        )
    stops = fileio.read_json(path / _SETTINGS_FILE, RUN_SETTINGS_SCHEMA)[
        "epochs"
    ]
    stop = max(stops) if epochs is None else epochs
    if stop not in stops:
        raise ArgumentError(
            f"epochs: received {stop:g}, {path} has "
            f"{', '.join(f'{s:g}' for s in stops)}"
        )
    snapshot = snapshot_directory(path / "finetune", stop)
    if system == "encoder":
        return _snapshot(snapshot)
    folder = path / ("regression" if "regression" in system else "head")
    if system in ("frozen", "frozen_regression"):
        return _head(folder / "frozen", encoder or _backbone_name(path))
    return _head(folder / snapshot.name, snapshot / "encoder")


def served_task(head: TrainedHead, model: keras.Model) -> ServedTask:
    """A trained head as an export has it.

    Args:
        head: TrainedHead.
        model: keras.Model. What its `load_model` gives.
    """
    identity = head.cache_identity
    windows = identity.get("windows")
    return ServedTask.of(
        head.task,
        ServedHead.of(model),
        max_tokens=identity["max_tokens"],
        layers=tuple(identity["layers"]),
        windows=windows and WindowPlan(**windows),
    )


def _head(path, encoder) -> _Source:
    head = TrainedHead.open(path)
    identity = head.cache_identity
    require_not_imported(f"runs: the head in {path} is", identity)
    return _Source(
        path,
        head.task,
        served_task(head, head.load_model()),
        identity["encoder"],
        identity["tokenizer"],
        encoder,
    )


def _snapshot(path) -> _Source:
    snapshot = Snapshot.open(path)
    head = ServedHead.of_snapshot(snapshot)
    layers = (head.config["last_layer"],)
    served = ServedTask.of(
        snapshot.task,
        head,
        max_tokens=snapshot.max_tokens,
        layers=layers,
        windows=snapshot.windows,
    )
    return _Source(
        path, snapshot.task, served, None, None, snapshot.encoder_directory
    )


def _open_encoder(source: _Source) -> Encoder:
    if source.encoder is None:
        raise ArgumentError(
            f"encoder: expected the one that the head in {source.path} was "
            "trained on, received none"
        )
    return load_backbone(source.encoder, dropout=0.0)


def _backbone_name(path) -> str | None:
    report = path / "report.json"
    if not report.is_file():
        return None
    return fileio.read_json(report, record_of(backbone=TEXT))["backbone"]
