"""The fastest inference path that a backbone has."""

from collections.abc import Sequence

import keras

from bvkeras.encoders.families.registry import family_of
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.keras_encoder import KerasEncoder

InferenceEncoder = FastEncoder | KerasEncoder


def inference_encoder(
    backbone: keras.Model,
    layers: Sequence[int] | None = None,
    compute_dtype: str | None = None,
) -> InferenceEncoder:
    """`FastEncoder` where layers are BERT's, `KerasEncoder` for others.

    Args:
        backbone: keras.Model. keras-hub's, of a family that bvkeras knows.
        layers: sequence of int. As of `FastEncoder`.
        compute_dtype: str. As of `FastEncoder`.

    Raises:
        ArgumentError: as `FastEncoder`.
    """
    fast = family_of(backbone).has_bert_layer
    encoder = FastEncoder if fast else KerasEncoder
    return encoder(backbone, layers, compute_dtype)
