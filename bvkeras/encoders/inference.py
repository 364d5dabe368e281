"""The fastest inference path that a backbone has."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from bvkeras.encoders.families.registry import family_of
from bvkeras.encoders.fast_encoder import (
    COMPUTE_DTYPES,
    INFERENCE_DTYPES,
    FastEncoder,
    checked_compute_dtype,
)
from bvkeras.encoders.keras_encoder import KerasEncoder
from bvkeras.encoders.native_encoder import NativeEncoder, computes
from bvkeras.errors import ArgumentError
from bvkeras.ops import library
from bvkeras.ops.implementation import takes_native

InferenceEncoder = FastEncoder | KerasEncoder | NativeEncoder


def inference_encoder(
    backbone: keras.Model,
    layers: Sequence[int] | None = None,
    compute_dtype: str | None = None,
    output_dtype: str = "float32",
) -> InferenceEncoder:
    """`NativeEncoder` or `FastEncoder` of BERT's layers, else `KerasEncoder`.

    The native library computes where it is there and can: on a CPU, in
    float32, bfloat16 or int8. The environment variable BVKERAS_IMPLEMENTATION
    can say `"reference"`, as for linear pooling.

    Args:
        backbone: keras.Model. keras-hub's, of a family that bvkeras knows.
        layers: sequence of int. As of `FastEncoder`.
        compute_dtype: str. As of `FastEncoder`, or `"int8"`, which only
            `NativeEncoder` computes.
        output_dtype: str. As of `FastEncoder`.

    Raises:
        ArgumentError: as `FastEncoder`, and as `check_compute_dtype`.
    """
    check_compute_dtype(compute_dtype, backbone)
    encoder: type[InferenceEncoder] = KerasEncoder
    if family_of(backbone).has_bert_layer:
        native = _takes_native(backbone, compute_dtype)
        encoder = NativeEncoder if native else FastEncoder
    return encoder(backbone, layers, compute_dtype, output_dtype)


def check_compute_dtype(
    compute_dtype: str | None, backbone: keras.Model
) -> None:
    """Raises ArgumentError where `inference_encoder` cannot compute in it here.

    Args:
        compute_dtype: str, or None. As of `inference_encoder`.
        backbone: keras.Model. As of `inference_encoder`.

    Raises:
        ArgumentError: it is none there is; or it is `"int8"`, and the layers
            are not BERT's, or the native library is not used.
    """
    if (
        checked_compute_dtype(compute_dtype, backbone, INFERENCE_DTYPES)
        != "int8"
    ):
        return
    why = ""
    if not family_of(backbone).has_bert_layer:
        why = "only layers of BERT's kind can have"
    elif not _takes_native(backbone, compute_dtype):
        why = "takes the native library, not used here (bvkeras doctor)"
    if why:
        raise ArgumentError(
            f"compute_dtype: received 'int8', which {why}; expected one of "
            f"{', '.join(COMPUTE_DTYPES)}"
        )


def computed_by(backbone: keras.Model, compute_dtype: str | None = None) -> str:
    """What computes `inference_encoder`'s hidden states here.

    Where it differs, their last bits do.

    Args:
        backbone: keras.Model. As of `inference_encoder`.
        compute_dtype: str. As of `inference_encoder`.

    Returns:
        `"tensorflow"`, or `"native"` and the instruction set.
    """
    fast = family_of(backbone).has_bert_layer
    if fast and _takes_native(backbone, compute_dtype):
        return f"native {library.cpu_variant()}"
    return "tensorflow"


def _takes_native(backbone, compute_dtype):
    return computes(
        checked_compute_dtype(compute_dtype, backbone, INFERENCE_DTYPES)
    ) and takes_native("auto", tf.float32)
