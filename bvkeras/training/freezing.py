"""Freezing a part of an encoder: what fine-tuning leaves as it came."""

import math

import keras

from bvkeras.encoders.families.registry import family_of
from bvkeras.errors import ArgumentError


def freeze(
    backbone: keras.Model,
    freeze_layers: int = 0,
    freeze_embeddings: bool = False,
) -> None:
    """Freezes the embeddings of an encoder, or its lowest layers, or both.

    What is frozen keeps its weights; its dropout still drops in training. The
    rest becomes trainable, whatever was frozen before. A backward pass ends
    at the lowest part that is trained.

    Lowest layers frozen without the embeddings keep their weights and not
    their outputs: the embeddings below them are trained, through them. The
    backward pass then goes all the way, so a step is hardly faster.

    Args:
        backbone: keras.Model. keras-hub's. Frozen in place.
        freeze_layers: int. How many transformer layers, from the embeddings
            upwards. Defaults to `0`.
        freeze_embeddings: bool. Whether the embeddings of tokens, positions
            and segments are frozen, with their LayerNorm and what projects
            them; of DeBERTa those of tokens and of distances. Defaults to
            `False`.

    Raises:
        ArgumentError: what `check_freeze_layers` raises.
    """
    check_freeze_layers(backbone, freeze_layers)
    family = family_of(backbone)
    backbone.trainable = True
    steps = family.steps(backbone)[: int(freeze_layers)]
    frozen = [layer for step in steps for layer in step]
    if freeze_embeddings:
        frozen += family.embedding_layers(backbone)
    for layer in frozen:
        layer.trainable = False


def untrained_parameters(backbone: keras.Model, model: keras.Model) -> int:
    """Parameters of an encoder that a model on it does not train.

    They are those that are frozen, and those the model does not use.

    Args:
        backbone: keras.Model. keras-hub's.
        model: keras.Model. What is trained, with the backbone in it.
    """
    trained = {id(weight) for weight in model.trainable_weights}
    return sum(
        math.prod(weight.shape)
        for weight in backbone.weights
        if id(weight) not in trained
    )


def check_freeze_layers(backbone: keras.Model, freeze_layers: int) -> None:
    """Refuses a number of layers that the backbone does not have.

    Raises:
        ArgumentError: `freeze_layers` is below 0, or more layers than there
            are, or the family uses its layers again and again.
    """
    family = family_of(backbone)
    if freeze_layers and family.shares_layers:
        raise ArgumentError(
            f"freeze_layers: expected 0 for {family.name}, which uses the same "
            f"layer at every depth, so that none is the lowest; got "
            f"{freeze_layers}"
        )
    if freeze_layers not in range(backbone.num_layers + 1):
        raise ArgumentError(
            f"freeze_layers: expected a whole number from 0 to "
            f"{backbone.num_layers}, the encoder's layers; got {freeze_layers}"
        )


def frozen_part(freeze_layers: int, freeze_embeddings: bool) -> str:
    """What is frozen, in words: `embeddings and 3 lowest layers`, or nothing.

    Returns:
        str. Empty if nothing is frozen.
    """
    parts = ["embeddings"] if freeze_embeddings else []
    if freeze_layers:
        noun = "layer" if freeze_layers == 1 else "layers"
        parts.append(f"{freeze_layers} lowest {noun}")
    return " and ".join(parts)
