"""The one door to hidden states from elsewhere: `open_states`."""

import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bvkeras.cache.imports.array_tensors import (
    STATES,
    ArrayTensors,
    load_array,
)
from bvkeras.cache.imports.chained_states import ChainedStates
from bvkeras.cache.imports.npz_tensors import NpzTensors
from bvkeras.cache.imports.safetensors_tensors import SafetensorsTensors
from bvkeras.cache.imports.states_source import StatesSource
from bvkeras.cache.imports.table_states import TableStates
from bvkeras.cache.imports.tensor_states import Given, TensorStates
from bvkeras.cache.imports.tensors import Tensors
from bvkeras.errors import ArgumentError, DataError
from bvkeras.fileio import read_json
from bvkeras.schema import TEXT, list_of, record_of

_TENSORS = {
    ".npy": ArrayTensors.of_file,
    ".npz": NpzTensors,
    ".safetensors": SafetensorsTensors,
}
_TABLES = (".parquet", ".arrow", ".feather")
_PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
# What `datasets` writes into a folder, and what it says of its files.
_STATE_FILE, _SPLITS_FILE = "state.json", "dataset_dict.json"
_STATE = record_of(_data_files=list_of(record_of(filename=TEXT)))

Paths = str | os.PathLike | Sequence[str | os.PathLike]


def open_states(
    source: Paths | np.ndarray | Mapping[str, np.ndarray],
    *,
    states: str | None = None,
    lengths: Given | os.PathLike = None,
    mask: Given | os.PathLike = None,
    starts: Given | os.PathLike = None,
) -> StatesSource:
    """Opens hidden states that something else computed.

    Nothing is read but headers; of a table each row's sizes.

    Args:
        source: an array; a mapping of names to arrays; a file: `.npy`,
            `.npz`, `.safetensors`, `.parquet`, `.arrow` (a stream or a file);
            a folder of such files of one kind, or one that
            `datasets.Dataset.save_to_disk` wrote; or a sequence of files.
            Several files are some of the examples each; those of a folder go
            by the numbers in their names. `TensorStates` says what an array's
            shape means, `TableStates` what a column holds.
        states: str, or None. The array or column with all layers, or a
            pattern with `{layer}` of those with one each. Defaults to what
            can be told: `hidden_states`, or names that differ in one number.
        lengths: array, path of a `.npy` file, or str, the name of an array or
            column beside the states: tokens of each example. Defaults to
            `lengths` or `length`, if that is there.
        mask: as `lengths`: 1 of each token, 0 of padding, which must be at
            the end. Defaults to `attention_mask` or `mask`, if that is there.
        starts: as `lengths`, where examples stand one after the other: the
            first token of each, and the number of all. Defaults to `starts`
            or `offsets`, if that is there.

    Returns:
        StatesSource, for `import_cache`.

    Raises:
        ArgumentError: an argument does not go with the source.
        DataError: a file cannot be read, is a pickle, or what it holds does
            not fit; names file, tensor or row.

    Example:
        states = open_states("train.npz")
        len(states), states.num_layers, states.hidden_dim
        # (800, 7, 384)
    """
    given = {"lengths": lengths, "mask": mask, "starts": starts}
    bounds = {name: _loaded(value) for name, value in given.items()}
    if isinstance(source, np.ndarray):
        source = {STATES: source}
    if isinstance(source, Mapping):
        found: StatesSource = TensorStates(
            ArrayTensors(source), states, **bounds
        )
    else:
        found = _of_paths(source, states, bounds)
    found.files += [
        pathlib.Path(path)
        for path in given.values()
        if isinstance(path, str | os.PathLike) and _is_file(path)
    ]
    return found


def in_order(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Paths by the numbers in their names: 2 in front of 10.

    Args:
        paths: iterable of path.
    """

    def key(path):
        parts = re.split(r"(\d+)", path.as_posix())
        return [int(part) if i % 2 else part for i, part in enumerate(parts)]

    return sorted(paths, key=key)


def _of_paths(source: Paths, states, bounds) -> StatesSource:
    paths = [source] if isinstance(source, str | os.PathLike) else list(source)
    if not paths:
        raise ArgumentError("source: received no file, expected at least one")
    files = []
    for path in map(pathlib.Path, paths):
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder")
        files += _files_of(path) if path.is_dir() else [path]
    name = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and others"
    kinds = {_kind(file) for file in files}
    if len(kinds) > 1:
        raise DataError(
            f"{name}: are files of {', '.join(sorted(kinds))}, expected one "
            "kind"
        )
    if kinds == {"table"}:
        for argument, value in bounds.items():
            is_name = argument != "starts" and isinstance(value, str)
            if value is not None and not is_name:
                raise ArgumentError(
                    f"{argument}: expected the name of a column of lengths or "
                    "masks with a table, or nothing"
                )
        bounds = {key: x for key, x in bounds.items() if key != "starts"}
        return TableStates(files, name, states, **bounds)
    if len(files) == 1:
        return TensorStates(_tensors(files[0]), states, **bounds)
    for argument, value in bounds.items():
        if isinstance(value, np.ndarray):
            raise ArgumentError(
                f"{argument}: expected a name in each of {len(files)} files, "
                "got an array; or give one file"
            )
    return ChainedStates(
        [TensorStates(_tensors(file), states, **bounds) for file in files],
        name,
        _file_ids(files),
    )


def _tensors(path: pathlib.Path) -> Tensors:
    return _TENSORS[path.suffix.lower()](path)


def _kind(path: pathlib.Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise DataError(
            f"{path}: may be a pickle, which can run code and is never opened "
            "here; save the states as safetensors or .npz"
        )
    if suffix in _TABLES:
        return "table"
    if suffix not in _TENSORS:
        raise DataError(
            f"{path}: is no file of hidden states, expected one of "
            f"{', '.join((*_TENSORS, *_TABLES))}"
        )
    return suffix


def _files_of(folder: pathlib.Path) -> list[pathlib.Path]:
    """A folder's files with hidden states, in their order."""
    splits = folder / _SPLITS_FILE
    if splits.is_file():
        raise DataError(
            f"{folder}: has several splits, expected the folder of one: "
            f"{', '.join(map(str, _splits(splits)))}"
        )
    state = folder / _STATE_FILE
    if state.is_file():
        found = [
            folder / one["filename"]
            for one in read_json(state, _STATE)["_data_files"]
        ]
        for path in found:
            # So no name can lead out of the folder.
            if (
                path.parent != folder
                or path.name in ("", "..")
                or (not path.is_file())
            ):
                raise DataError(
                    f"{state}: names {path.name!r}, which is not there"
                )
        return found
    found = [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in (*_TENSORS, *_TABLES)
    ]
    if found:
        return in_order(found)
    others = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in others:
        _kind(path)
    raise DataError(f"{folder}: has no file of hidden states")


def _splits(path: pathlib.Path) -> list[str]:
    try:
        return list(json.loads(path.read_text("utf-8"))["splits"])
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _file_ids(files: Sequence[pathlib.Path]) -> list[str]:
    """The files' names; with their folders, where names are alike."""
    stems = [file.stem for file in files]
    if len({*stems}) == len(stems):
        return stems
    return [file.with_suffix("").as_posix() for file in files]


def _is_file(value) -> bool:
    return isinstance(value, os.PathLike) or (
        isinstance(value, str) and value.endswith(".npy")
    )


def _loaded(value):
    if _is_file(value):
        return load_array(pathlib.Path(value))
    return value if value is None or isinstance(value, str) else np.array(value)
