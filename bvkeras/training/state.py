"""A training run's state on disk, so that a killed run goes on."""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy

from bvkeras import fileio
from bvkeras.errors import RunError
from bvkeras.schema import OBJECT, Schema


def state_variables(model: keras.Model) -> list[keras.Variable]:
    """What a model must remember between steps: weights, dropout's seeds.

    Metrics are left out: they appear only once a model has been fitted.
    """
    return [*model.weights, *_dropout_seeds(model)]


def seed_dropout(
    model: keras.Model, seed: int, worker: int = 0, go_on: bool = False
) -> None:
    """Starts every dropout layer of a model from one seed.

    Keras seeds a layer when it is made; a backbone is made before anybody
    knows the seed of the run.

    Args:
        model: keras.Model.
        seed: int. That of the run.
        worker: int. Processes that train together drop other features.
            Defaults to `0`.
        go_on: bool. Whether what was drawn before counts. Defaults to `False`.
    """
    for number, variable in enumerate(_dropout_seeds(model)):
        entropy = [seed, number, *([worker] if worker else [])]
        sequence = np.random.SeedSequence(entropy)
        drawn = int(variable.numpy()[1]) if go_on else 0
        variable.assign([int(sequence.generate_state(1)[0]) >> 1, drawn])


def save_state(
    path: str | os.PathLike,
    variables: list[keras.Variable],
    progress: dict[str, Any],
) -> None:
    """Writes variables and a JSON record of how far the run is, atomically.

    Args:
        path: str or path. A safetensors file.
        variables: list of variables: the model's (with the seeds of its
            dropout) and the optimizer's, in a fixed order.
        progress: dict. Any JSON value.
    """
    tensors = {
        f"{i:05d}": np.asarray(variable.numpy(), order="C")
        for i, variable in enumerate(variables)
    }
    with fileio.atomic_path(path) as temporary:
        safetensors.numpy.save_file(
            tensors, temporary, metadata={"progress": json.dumps(progress)}
        )


def read_progress(
    path: str | os.PathLike, schema: Schema = OBJECT
) -> dict[str, Any]:
    """The progress record of a state file, without its variables.

    Args:
        path: str or path. What `save_state` wrote.
        schema: mapping. JSON Schema of the record. Defaults to any object.

    Raises:
        RunError: the file is damaged.
    """
    with _opened(path) as file:
        progress = (file.metadata() or {}).get("progress", "")
    return fileio.parse_json(progress.encode(), path, schema, error=RunError)


def load_state(
    path: str | os.PathLike, variables: list[keras.Variable]
) -> dict[str, Any]:
    """Gives `variables` their saved values and returns the saved progress.

    Args:
        path: str or path. What `save_state` wrote.
        variables: list of variables, in the order they were saved in.

    Raises:
        RunError: the file is damaged, or belongs to another model.
    """
    with _opened(path) as file:
        names = sorted(file.keys())
        found = [file.get_slice(name).get_shape() for name in names]
        if found != [list(variable.shape) for variable in variables]:
            raise RunError(
                f"{path} holds the state of another model; remove it to start "
                "anew"
            )
        tensors = [file.get_tensor(name) for name in names]
    for tensor, variable in zip(tensors, variables, strict=True):
        variable.assign(tensor)
    return read_progress(path)


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[safetensors.safe_open]:
    fileio.open_plain(path, error=RunError).close()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise RunError(
            f"{path} is damaged ({error}); remove it to start anew"
        ) from None


def _dropout_seeds(model: keras.Model) -> list[keras.Variable]:
    return [
        variable
        for variable in model.variables
        if variable.name == "seed_generator_state"
    ]
