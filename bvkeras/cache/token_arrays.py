"""The arrays of a cache that have one item a token, and their bytes."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from bvkeras.cache.format import DTYPES, Manifest

# TensorFlow takes over NumPy's memory without a copy if it is so aligned.
_ALIGNMENT = 64


@dataclasses.dataclass(frozen=True)
class TokenArray:
    """How one item of an array is stored.

    Attributes:
        dtype: numpy dtype.
        shape: tuple of int. Shape of an item.
    """

    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def item_bytes(self) -> int:
        """Bytes of one item."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def raw_dtype(self) -> np.dtype:
        """Unsigned integers as wide as the values.

        NumPy, TensorFlow and DLPack do not all know bfloat16.
        """
        return np.dtype(f"u{self.dtype.itemsize}")

    def items(self, data: np.ndarray) -> np.ndarray:
        """Bytes as items `(..., *shape)` of unsigned integers.

        Args:
            data: uint8 array `(..., bytes)`, contiguous.
        """
        *outer, num_bytes = data.shape
        values = data.view(self.raw_dtype)
        return values.reshape(*outer, num_bytes // self.item_bytes, *self.shape)

    def typed(self, items: tf.Tensor) -> tf.Tensor:
        """What `items` gave, as values of the stored type."""
        return tf.bitcast(items, tf.as_dtype(self.dtype))


def stored_arrays(manifest: Manifest) -> dict[str, TokenArray]:
    """The large arrays of a cache: hidden states, and int8's scales."""
    layers, features = manifest.num_layers, manifest.hidden_dim
    arrays = {
        "hidden_states": TokenArray(DTYPES[manifest.dtype], (layers, features))
    }
    if manifest.dtype == "int8":
        arrays["scales"] = TokenArray(np.dtype(np.float32), (layers,))
    return arrays


def extra_arrays(manifest: Manifest) -> dict[str, TokenArray]:
    """The token ids and offsets, as far as a cache keeps them."""
    shapes = {"token_ids": (), "offsets": (2,)}
    return {
        name: TokenArray(np.dtype(np.int64), shapes[name])
        for name in manifest.extras
    }


def aligned_bytes(count: int) -> np.ndarray:
    """A uint8 array `(count,)` that TensorFlow can take over.

    Its contents are whatever was there.
    """
    data = np.empty(count + _ALIGNMENT, np.uint8)
    first = -data.ctypes.data % _ALIGNMENT
    return data[first : first + count]
