"""The tensors of a checkpoint: one file, or shards and their index."""

import contextlib
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np
import safetensors
from safetensors.numpy import load_file

from bvkeras.encoders.checkpoint_files import read_object, refuse_pointer
from bvkeras.errors import BackboneError
from bvkeras.printable import one_line, printable
from bvkeras.schema import TEXT, record_of, table_of

WEIGHTS_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"

_INDEX_SCHEMA = record_of(weight_map=table_of(TEXT))
_FLOATS = ("F64", "F32", "F16", "BF16")
# Counted from 0 by whoever computes; some files hold the numbers.
_COUNTED = re.compile(r"(.*\.)?(position_ids|token_type_ids)")
# A folder with these is a change to another encoder, not one.
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors")


class CheckpointWeights:
    """The weights of a directory in Hugging Face layout, read as they are.

    Only headers are read until `read` is called.

    Args:
        directory: path.

    Attributes:
        path: path. What messages name: the file, or the index of the shards.
        count: int. Numbers in all tensors.

    Raises:
        BackboneError: there are no weights or only pickles; a file is missing,
            damaged or a git-lfs pointer; a tensor is there twice, or has
            integers, so that something else is needed to make weights of it.
    """

    def __init__(self, directory: pathlib.Path):
        for name in _ADAPTERS:
            if (directory / name).exists():
                raise BackboneError(
                    f"{directory / name} changes the weights of another "
                    "encoder, which is not done here: merge them first (with "
                    "peft: merge_and_unload() and save_pretrained())"
                )
        self.path = directory / WEIGHTS_FILE
        self._files = [self.path]
        mapped: dict[str, str] = {}
        if not self.path.is_file() and (directory / INDEX_FILE).is_file():
            self.path = directory / INDEX_FILE
            mapped = _weight_map(self.path)
            self._files = [directory / name for name in _in_order(mapped)]
        elif not self.path.is_file():
            _refuse_pickles(directory)
        self.count = 0
        names: dict[str, pathlib.Path] = {}
        for file in self._files:
            with _naming_damage(file):
                for name, size in _sizes(file):
                    if name in names:
                        raise BackboneError(
                            f"{file} has {printable(name)}, and so has "
                            f"{names[name].name}"
                        )
                    names[name] = file
                    self.count += size
        for name, place in mapped.items():
            if name not in names or names[name].name != place:
                raise BackboneError(
                    f"{self.path} says {printable(name)} is in {place}; it is "
                    "not"
                )

    def read(self) -> dict[str, np.ndarray]:
        """All tensors by name, but those that only count positions."""
        tensors: dict[str, np.ndarray] = {}
        for file in self._files:
            with _naming_damage(file):
                tensors |= load_file(file)
        return {
            name: tensor
            for name, tensor in tensors.items()
            if not _COUNTED.fullmatch(name)
        }


def _weight_map(path: pathlib.Path) -> dict[str, str]:
    mapped = read_object(path, _INDEX_SCHEMA)["weight_map"]
    for name in _in_order(mapped):
        if pathlib.PurePath(name).name != name or "\\" in name:
            raise BackboneError(
                f"{path} names the file {printable(repr(name))}, expected one "
                "in its own folder"
            )
        if not name.endswith(".safetensors"):
            raise BackboneError(
                f"{path} names the file {name}, expected .safetensors"
            )
        if not (path.parent / name).is_file():
            raise BackboneError(
                f"{path.parent / name} is missing, which {path.name} names"
            )
    return mapped


def _in_order(mapped: dict[str, str]) -> Sequence[str]:
    return list(dict.fromkeys(mapped.values()))


def _sizes(path: pathlib.Path) -> Iterator[tuple[str, int]]:
    """Each tensor's name and numbers, of the header alone."""
    refuse_pointer(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            part = file.get_slice(name)
            if _COUNTED.fullmatch(name):
                continue
            if part.get_dtype() not in _FLOATS:
                raise BackboneError(
                    f"{path} has {printable(name)} of type {part.get_dtype()}, "
                    f"expected one of {', '.join(_FLOATS)}: quantised weights "
                    "are not read"
                )
            size = 1
            for length in part.get_shape():
                size *= length
            yield name, size


def _refuse_pickles(directory: pathlib.Path) -> None:
    path = directory / WEIGHTS_FILE
    pickles = sorted(directory.glob("pytorch_model*.bin"))
    if pickles:
        raise BackboneError(
            f"{pickles[0]} is a pickle, which can run code and is never "
            f"opened here: convert it to {WEIGHTS_FILE} (with "
            "transformers: save_pretrained(..., safe_serialization=True))"
        )
    raise BackboneError(f"{path} is missing")


@contextlib.contextmanager
def _naming_damage(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except BackboneError:
        raise
    except (
        *(OSError, ValueError, KeyError),
        safetensors.SafetensorError,
    ) as error:
        raise BackboneError(f"{path} is damaged: {one_line(error)}") from None
