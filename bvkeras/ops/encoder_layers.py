"""A BERT encoder's layers in native code, at inference.

`kernels/encoder.h` says what is computed. The reference is
`bvkeras.encoders.fast_encoder.FastEncoder`.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from bvkeras.ops import library


def pack_encoder_layer(
    layer: dict[str, Any], num_heads: int, compute_dtype: str
) -> tf.Tensor:
    """One layer's weights as the native products read them.

    For this process alone: the bytes fit the instruction set in use.

    Args:
        layer: dict of float32 tensors. As of `BertWeights.layers`.
        num_heads: int. Of attention.
        compute_dtype: str. `"float32"`, `"bfloat16"` or `"int8"`.

    Returns:
        uint8 tensor `(bytes,)`.

    Raises:
        NativeLibraryError: the native library is not there.
    """
    attention_norm, output_norm = layer["attention_norm"], layer["output_norm"]
    return library.load().bvkeras_pack_encoder_layer(
        *layer["query_key_value"],
        *layer["attention_output"],
        *attention_norm[:2],
        *layer["intermediate"],
        *layer["output"],
        *output_norm[:2],
        heads=num_heads,
        epsilons=[attention_norm[2], output_norm[2]],
        precision=compute_dtype,
    )


def encode_layers(
    states: tf.Tensor,
    mask: tf.Tensor,
    packed: list[tf.Tensor],
    *,
    num_heads: int,
    inner_dim: int,
    approximate_gelu: bool,
    steps: Sequence[int],
    wanted: Sequence[int],
    compute_dtype: str,
    output_dtype: str,
) -> list[tf.Tensor]:
    """States after the steps asked for.

    Args:
        states: float32 tensor `(batch, tokens, features)`.
        mask: bool tensor `(batch, tokens)`. Real tokens; they may lie anywhere.
        packed: list of tensors. As of `pack_encoder_layer`.
        num_heads: int. Of attention.
        inner_dim: int. Features between the two products after attention.
        approximate_gelu: bool. GELU by tanh, not by erf.
        steps: sequence of int. The packed layer of each step.
        wanted: sequence of int. Rising numbers of steps.
        compute_dtype: str. What the layers were packed for.
        output_dtype: str. `"float32"`, `"bfloat16"` or `"float16"`.

    Returns:
        list of tensors `(batch, tokens, features)`, one for each of `wanted`;
        zero where there is no token.

    Raises:
        NativeLibraryError: the native library is not there.
        tf.errors.InvalidArgumentError: a packed layer is of other sizes, or
            for another instruction set.
    """
    if not wanted:
        return []
    return library.load().bvkeras_encode_layers(
        states=states,
        mask=mask,
        packed=packed,
        M=len(wanted),
        heads=num_heads,
        inner=inner_dim,
        approximate=approximate_gelu,
        steps=steps,
        wanted=wanted,
        precision=compute_dtype,
        output_type=output_dtype,
    )
