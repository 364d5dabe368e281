"""Writing an encoder and its heads as a SavedModel that stands alone."""

import os
import pathlib
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import tensorflow as tf

from bvkeras import __version__, fileio
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import ArgumentError
from bvkeras.serving import layout, warm_up
from bvkeras.serving.parts import read_parts
from bvkeras.serving.served_model import ServedModel
from bvkeras.serving.served_task import ServedTask

DTYPES = ("float32", "bfloat16")


def export(
    encoder: Encoder,
    tasks: Sequence[ServedTask],
    directory: str | os.PathLike,
    *,
    dtype: str = "float32",
) -> pathlib.Path:
    """Writes a new version of an export, `DIRECTORY/<number>/`.

    A SavedModel that takes texts and needs tensorflow and tensorflow-text to
    load, and neither bvkeras nor Keras. docs/serving.md lists its signatures.
    It appears whole or not at all, and versions before it stay as they are.

    Args:
        encoder: Encoder.
        tasks: sequence of ServedTask. Heads on this encoder.
        directory: str or path. Gets version 1, or one more than the highest.
        dtype: str. `"float32"`, or `"bfloat16"`: matrices are stored and
            multiplied in it, what else there is stays in float32. Defaults
            to `"float32"`.

    Returns:
        Path of the new version.

    Raises:
        ArgumentError: there is no task, two have one name, `dtype` is neither
            of the two, a head does not fit the encoder, or its tokenizer is
            no `WordPiece`.
        RunError: another process is writing to `directory`.

    Example:
        head = bvkeras.serving.ServedHead.of(model)
        task = bvkeras.serving.ServedTask.of(
            bvkeras.tasks.get("sst2"), head, max_tokens=64, layers=range(7)
        )
        bvkeras.serving.export(encoder, [task], "exports/sst2")
    """
    if dtype not in DTYPES:
        raise ArgumentError(
            f"dtype: received {dtype!r}, expected one of {', '.join(DTYPES)}"
        )
    _check_directory(directory)
    if not isinstance(encoder.tokenizer, WordPiece):
        raise ArgumentError(
            f"encoder: {encoder.name} has a tokenizer that a TensorFlow graph "
            "cannot compute; only BERT's, with its vocabulary, can be "
            "exported. bvkeras predict and serve take the run itself"
        )
    forward = FastEncoder(encoder.backbone, compute_dtype=dtype)
    return _write(
        forward,
        encoder.tokenizer,
        tasks,
        directory,
        {
            "name": encoder.name,
            "digest": encoder.digest(),
            "config": encoder.config(),
            "dtype": dtype,
            "parameters": encoder.backbone.count_params(),
        },
    )


def add_tasks(
    tasks: Sequence[ServedTask],
    directory: str | os.PathLike,
    *,
    encoder_digest: str,
) -> pathlib.Path:
    """Writes a new version with more tasks, beside the newest one.

    Encoder and heads are those of the newest version, bit for bit. They are
    read as arrays; nothing of the earlier graph is run.

    Args:
        tasks: sequence of ServedTask. A task of a name that is there already
            takes its place.
        directory: str or path. A folder of exports.
        encoder_digest: str. `Encoder.digest()` of the encoder the heads were
            trained on.

    Returns:
        Path of the new version.

    Raises:
        ArgumentError: the heads are of another encoder.
        DataError: there is no export in `directory`, it cannot be read, or
            there is a link in it.
    """
    _check_directory(directory)
    version = layout.version_directory(directory)
    layout.refuse_links(version)
    description = layout.read_description(version)
    about = description["encoder"]
    if about["digest"] != encoder_digest:
        raise ArgumentError(
            f"tasks: their heads are of the encoder {encoder_digest[:12]}…, "
            f"{version} has {about['digest'][:12]}…"
        )
    found = read_parts(version, description)
    together = {task.name: task for task in [*found.tasks, *tasks]}
    return _write(
        found.forward,
        found.tokenizer,
        list(together.values()),
        directory,
        about,
    )


def _write(
    forward: FastEncoder,
    tokenizer: WordPiece,
    tasks: Sequence[ServedTask],
    directory: str | os.PathLike,
    about: dict[str, Any],
) -> pathlib.Path:
    _check_tasks(tasks, about["config"])
    variables = []

    def stored(weight):
        if len(weight.shape) > 1:
            weight = tf.cast(weight, about["dtype"])
        variables.append(tf.Variable(weight, trainable=False))
        return variables[-1]

    forward.map_weights(stored)
    root = tf.Module()
    root.encoder = variables
    root.heads = {task.name: task.head.variables for task in tasks}
    signatures = ServedModel(forward, tokenizer, tasks).signatures()
    described = {
        task.name: task.describe(about["parameters"]) for task in tasks
    }
    directory = pathlib.Path(directory)
    with fileio.directory_lock(directory):
        fileio.remove_leftovers(directory)
        number = max(layout.versions(directory), default=0) + 1
        path = directory / str(number)
        with fileio.atomic_directory(path) as temporary:
            tf.saved_model.save(root, str(temporary), signatures)
            (temporary / layout.EXTRA).mkdir()
            fileio.write_json(
                temporary / layout.VOCABULARY, tokenizer.vocabulary
            )
            fileio.write_json(
                temporary / layout.DESCRIPTION,
                {
                    "format": layout.FORMAT,
                    "versions": _versions(),
                    "encoder": about,
                    "tokenizer": {
                        "digest": tokenizer.digest,
                        "settings": tokenizer.settings,
                    },
                    "tasks": described,
                },
            )
            warm_up.write(temporary / layout.WARM_UP, described)
    return path


def _check_directory(directory):
    if (pathlib.Path(directory) / layout.GRAPH).exists():
        raise ArgumentError(
            f"directory: {directory} is one version, expected the folder above"
        )


def _check_tasks(tasks, config):
    names = [task.name for task in tasks]
    if not names or len(set(names)) < len(names):
        raise ArgumentError(
            f"tasks: received {names}, expected at least one, and none twice"
        )
    num_states, limit = config["num_layers"] + 1, config["max_sequence_length"]
    for task in tasks:
        if not all(0 <= layer < num_states for layer in task.layers):
            raise ArgumentError(
                f"layers: {task.name} has {list(task.layers)}, expected "
                f"hidden states from 0 to {num_states - 1}"
            )
        if task.max_tokens > limit:
            raise ArgumentError(
                f"max_tokens: {task.name} has {task.max_tokens}, the encoder "
                f"takes at most {limit}"
            )
        head = task.head.config
        for name, expected in (
            ("num_layers", len(task.layers)),
            ("hidden_dim", config["hidden_dim"]),
        ):
            if head.get(name, expected) != expected:
                raise ArgumentError(
                    f"{name}: the head of {task.name} is for {head[name]}, "
                    f"there are {expected}"
                )
        length = head.get("sequence_length")
        if length is not None and length < task.max_tokens:
            raise ArgumentError(
                f"max_tokens: {task.name} has {task.max_tokens}, its head "
                f"takes at most {length}"
            )


def _versions() -> dict[str, str]:
    packages = ("keras", "keras-hub", "tensorflow", "tensorflow-text")
    versions = {name: metadata.version(name) for name in packages}
    return {"bvkeras": __version__, **versions}
