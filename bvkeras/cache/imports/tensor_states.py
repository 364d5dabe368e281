"""Hidden states as tensors of one file: the class `TensorStates`."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from bvkeras.cache.imports.layer_tensors import FLOATS, find_layers
from bvkeras.cache.imports.states_source import StatesSource
from bvkeras.cache.imports.tensors import Tensors
from bvkeras.errors import DataError

# How the bounds of examples are called, and what else a file may have.
LENGTHS = ("lengths", "length")
MASKS = ("attention_mask", "mask")
STARTS = ("starts", "offsets")
IDS = ("ids", "id")

Given = str | np.ndarray | None


class TensorStates(StatesSource):
    """Hidden states in one tensor, or in one for each layer.

    The shape of one tensor says what it is: `(examples, tokens, layers,
    features)`, padded at the end; `(all tokens, layers, features)`, one
    example after the other, with `lengths` or `starts`; the same without
    either, one example. One tensor a layer has no layers in its shape.

    Args:
        tensors: Tensors.
        states: str, or None. As `wanted` of `find_layers`.
        lengths: str, array or None. Tokens of each example, or what they are
            called among the tensors. Defaults to `lengths`, if that is there.
        mask: str, array or None. Instead of them, of padded examples: 1 for
            each token and 0 for padding, `(examples, tokens)`. Defaults to
            `attention_mask`, if that is there.
        starts: str, array or None. Instead of them: the first token of each
            example, and the number of all, `(examples + 1,)`. Defaults to
            `offsets`, if that is there.

    Raises:
        DataError: shapes, lengths or types do not fit; names the tensor.
    """

    def __init__(
        self,
        tensors: Tensors,
        states: str | None = None,
        lengths: Given = None,
        mask: Given = None,
        starts: Given = None,
    ):
        self._tensors = tensors
        self.name = tensors.name
        self.files: list[pathlib.Path] = []
        if tensors.path is not None:
            self.files = [tensors.path]
        bounds = {
            kind: value
            for kind, value in (
                ("lengths", self._array(lengths, LENGTHS)),
                ("mask", self._array(mask, MASKS)),
                ("starts", self._array(starts, STARTS)),
            )
            if value is not None
        }
        if len(bounds) > 1:
            raise DataError(
                f"{self.name}: {' and '.join(bounds)} are there, expected one "
                "of lengths, mask (attention_mask) and starts (offsets)"
            )
        self._names, self._stacked = find_layers(
            self.name, tensors.dtypes, states
        )
        shape = self._shape()
        *outer, self.hidden_dim = shape
        self.layer_names = tuple(self._names)
        if self._stacked:
            self.layer_names = tuple(map(str, range(outer.pop())))
        if not all(shape):
            raise DataError(
                f"{self.name}: {self._names[0]} has shape {shape}, expected "
                "no side of 0"
            )
        dtypes = [tensors.dtypes[name] for name in self._names]
        self.dtype = max(dtypes, key=FLOATS.index)
        self.width = outer[1] if len(outer) == 2 else None
        self._starts: np.ndarray | None = None
        if self.width is None:
            self._starts = self._ragged_starts(outer[0], bounds)
            self.lengths = np.diff(self._starts)
        else:
            self.lengths = self._padded_lengths(outer[0], outer[1], bounds)
        self.is_one_example = self.width is None and not bounds

    def read(self, first: int = 0) -> Iterator[np.ndarray]:
        with self._tensors.reading() as read:
            for row in range(first, len(self)):
                start, stop = row, row + 1
                if self._starts is not None:
                    start, stop = map(int, self._starts[row : row + 2])
                parts = [read(name, start, stop) for name in self._names]
                if self._starts is None:
                    parts = [part[0, : self.lengths[row]] for part in parts]
                yield parts[0] if self._stacked else np.stack(parts, axis=1)

    def where(self, row: int) -> str:
        if self.is_one_example:
            return self.name
        return f"{self.name}: row {row}"

    def column(self, *names: str) -> Any:
        for name in names:
            if name in self._tensors.shapes:
                return self._tensors.whole(name)
        return None

    def token_column(self, name: str) -> list[np.ndarray] | None:
        values = self.column(name)
        if values is None:
            return None
        if self._starts is not None:
            wanted: tuple[int, ...] = (int(self._starts[-1]),)
        else:
            assert self.width is not None
            wanted = (len(self), self.width)
        if values.shape[: len(wanted)] != wanted:
            raise DataError(
                f"{self.name}: {name} has shape {values.shape}, expected "
                f"{wanted} in front, as the hidden states"
            )
        if self._starts is not None:
            return np.split(values, self._starts[1:-1])
        return [
            row[:length]
            for row, length in zip(values, self.lengths, strict=True)
        ]

    @property
    def ids(self) -> list[str] | None:
        found = self.column(*IDS)
        if found is None:
            return None
        return texts_of(np.ravel(found).tolist())

    def _array(self, given: Given, names: tuple[str, ...]):
        if not isinstance(given, str):
            return self.column(*names) if given is None else np.asarray(given)
        found = self.column(given)
        if found is None:
            raise DataError(
                f"{self.name}: has no {given!r}, it has "
                f"{', '.join(self._tensors.shapes)}"
            )
        return found

    def _shape(self) -> tuple[int, ...]:
        """That of all layers' tensors, which must be the same."""
        shapes = self._tensors.shapes
        first = self._names[0]
        allowed = (3, 4) if self._stacked else (2, 3)
        if len(shapes[first]) not in allowed:
            sides = (
                "(examples, tokens, layers, features) or (tokens, layers, "
                "features)"
                if self._stacked
                else "(examples, tokens, features) or (tokens, features)"
            )
            raise DataError(
                f"{self.name}: {first} has shape {shapes[first]}, expected "
                f"{sides}"
            )
        for name in self._names:
            if shapes[name] != shapes[first]:
                raise DataError(
                    f"{self.name}: {name} has shape {shapes[name]}, and "
                    f"{first} {shapes[first]}; expected layers of one shape"
                )
        return shapes[first]

    def _padded_lengths(self, examples, tokens, bounds) -> np.ndarray:
        if "starts" in bounds:
            raise DataError(
                f"{self.name}: starts (offsets) are there, and the hidden "
                "states are padded; expected lengths or a mask"
            )
        if "mask" in bounds:
            return mask_lengths(self.name, bounds["mask"], (examples, tokens))
        if "lengths" not in bounds:
            return np.full(examples, tokens)
        return whole_lengths(
            self.name, bounds["lengths"], np.full(examples, tokens)
        )

    def _ragged_starts(self, tokens, bounds) -> np.ndarray:
        if "mask" in bounds:
            raise DataError(
                f"{self.name}: a mask is there, and the hidden states are not "
                "padded; expected lengths or starts"
            )
        if "starts" in bounds:
            starts = _whole(self.name, "starts", bounds["starts"])
            lengths = np.diff(starts)
            if len(starts) < 2 or starts[0] or starts[-1] != tokens:
                raise DataError(
                    f"{self.name}: starts go from {starts[:1]} to "
                    f"{starts[-1:]}, expected from 0 to the number of all "
                    f"tokens, {tokens}"
                )
        else:
            lengths = _whole(
                self.name, "lengths", bounds.get("lengths", [tokens])
            )
            if lengths.sum() != tokens:
                raise DataError(
                    f"{self.name}: lengths are {lengths.sum()} tokens "
                    f"together, the hidden states have {tokens}"
                )
        whole_lengths(self.name, lengths, np.full(len(lengths), tokens))
        return np.concatenate([[0], np.cumsum(lengths)])


def whole_lengths(where: str, lengths: Any, most: np.ndarray) -> np.ndarray:
    """Lengths as int64.

    Args:
        where: str. The file, for messages.
        lengths: array `(examples,)` of whole numbers.
        most: int array `(examples,)`. What each may be at most.

    Raises:
        DataError: they are not that many, or one is below 1 or too large.
    """
    lengths = _whole(where, "lengths", lengths)
    if len(lengths) != len(most):
        raise DataError(
            f"{where}: there are {len(lengths)} lengths for {len(most)} "
            "examples"
        )
    wrong = np.flatnonzero((lengths < 1) | (lengths > most))
    if len(wrong):
        row = wrong[0]
        raise DataError(
            f"{where}: row {row}: its length is {lengths[row]}, expected 1 to "
            f"{most[row]}"
        )
    return lengths


def mask_lengths(
    where: str, mask: Any, shape: tuple[int, int], first: int = 0
) -> np.ndarray:
    """The lengths that a mask of padded examples says, int64.

    Args:
        where: str. The file, for messages.
        mask: array `(examples, tokens)`, 1 of a token and 0 of padding.
        shape: pair of int. What its shape should be.
        first: int. Number of the first row, for messages. Defaults to `0`.

    Raises:
        DataError: it is of another shape, has other values, a 1 after a 0,
            or a row without a token.
    """
    mask = np.asarray(mask)
    if mask.shape != shape:
        raise DataError(
            f"{where}: the mask has shape {mask.shape}, expected {shape}"
        )
    if mask.dtype.kind not in "biuf" or not ((mask == 0) | (mask == 1)).all():
        raise DataError(f"{where}: the mask has values besides 0 and 1")
    lengths = mask.astype(bool).sum(axis=1, dtype=np.int64)
    filled = np.arange(shape[1]) < lengths[:, None]
    for wrong, what in (
        ((filled != mask.astype(bool)).any(axis=1), "a token after padding"),
        (lengths == 0, "no token"),
    ):
        if wrong.any():
            raise DataError(
                f"{where}: row {first + int(wrong.argmax())}: its mask has "
                f"{what}, expected tokens first, at least one"
            )
    return lengths


def texts_of(values: list) -> list[str]:
    """Ids as texts, whatever they were."""
    return [
        value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else str(value)
        for value in values
    ]


def _whole(where: str, name: str, values: Any) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DataError(
            f"{where}: {name} are of shape {values.shape} and type "
            f"{values.dtype}, expected whole numbers, one a row"
        )
    return values.astype(np.int64)
