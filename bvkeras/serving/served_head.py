"""A task's head as an export has it: a few numbers, and weights."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bvkeras.encoders.sentence_pooling import SENTENCE_POOLINGS
from bvkeras.errors import ArgumentError, DataError
from bvkeras.models.linear_probe import LinearProbe
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.models.pooling_regressor import PoolingRegressor
from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.models.pooling_tagger import PoolingTagger
from bvkeras.models.weighted_probe import WeightedProbe
from bvkeras.ops.implementation import reference_only
from bvkeras.ops.span_logits import masked_logits
from bvkeras.ops.text_pairs import compared
from bvkeras.training.finetune import Snapshot

# A description of an export names one of these, and nothing else is made of
# it.
_MODELS = {
    model.__name__: model
    for model in (
        *(PoolingClassifier, PoolingRegressor, PoolingSpanModel),
        *(PoolingTagger, LinearProbe, WeightedProbe),
    )
}
_SETTINGS = (
    *("units", "sequence_length", "num_layers", "hidden_dim"),
    *("approximate", "pooler", "num_classes", "num_outputs"),
    *("several_labels", "pairs"),
)
_OWN_HEAD = "EncoderHead"


class ServedHead:
    """Computes a task's logits from the encoder's hidden states.

    Args:
        config: dict. The kind of head and its numbers, as `of` makes it.
        weights: sequence of arrays. Defaults to none: zeros.

    Attributes:
        config: dict, plain JSON.
        variables: list of tf.Variable.

    Raises:
        DataError: `config` describes no head.
    """

    def __init__(
        self, config: dict[str, Any], weights: Sequence[np.ndarray] | None
    ):
        self.config = config
        self.per_token = bool(config.get("per_token"))
        self.is_apart = bool(config.get("pairs"))
        self._model = None
        if config.get("type") == _OWN_HEAD:
            self.config = {"pairs": False, **config}
            self._pooling = config.get("sentence_pooling")
            known = [None] if self.per_token else SENTENCE_POOLINGS
            if self._pooling not in known:
                raise DataError(f"head: {config} describes none")
            self.variables = [
                tf.Variable(weight, trainable=False) for weight in weights or ()
            ]
            return
        self._model = _pooling_model(config)
        if weights is not None:
            self._model.set_weights(weights)
        self.variables = [weight.value for weight in self._model.weights]

    @classmethod
    def of(cls, model: keras.Model) -> "ServedHead":
        """The head of a model, with its weights as they are now.

        Args:
            model: PoolingClassifier, PoolingRegressor, PoolingSpanModel,
                PoolingTagger, LinearProbe or WeightedProbe, built.

        Raises:
            ArgumentError: it is something else, or not built.
        """
        name = type(model).__name__
        if type(model) is not _MODELS.get(name):
            raise ArgumentError(
                f"head: received a {name}, expected one of {', '.join(_MODELS)}"
            )
        if not model.built:
            raise ArgumentError(
                "head: received one without weights, expected num_layers and "
                "hidden_dim, or a call"
            )
        config = model.get_config()
        config["num_layers"], config["hidden_dim"] = model.input_sizes
        return cls(
            {
                "type": name,
                "per_token": model.per_token,
                **{key: config[key] for key in _SETTINGS if key in config},
            },
            model.get_weights(),
        )

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> "ServedHead":
        """The head that an encoder was fine-tuned with.

        Args:
            snapshot: Snapshot.
        """
        encoder, model = snapshot.load_model()
        per_token = snapshot.task.traits.per_token
        num_layers = encoder.backbone.num_layers
        weights = model.get_layer("logits").get_weights()
        pooling = None if per_token else encoder.sentence_pooling
        if pooling == "cls":
            pooler = encoder.family.trained_pooler(encoder.backbone)
            if pooler is not None:
                weights = pooler.get_weights() + weights
        config = {
            "type": _OWN_HEAD,
            "per_token": per_token,
            "sentence_pooling": pooling,
            "pairs": snapshot.task.is_apart,
            "frozen_parameters": snapshot.frozen_parameters,
            "last_layer": num_layers,
        }
        return cls(config, weights)

    @property
    def is_encoders_own(self) -> bool:
        """Whether the encoder was trained with it."""
        return self._model is None

    @property
    def num_frozen_parameters(self) -> int:
        """How many of the encoder's were not trained with it, if it was."""
        return self.config["frozen_parameters"] if self.is_encoders_own else 0

    @property
    def num_parameters(self) -> int:
        """How many numbers the head has; a pooler is the encoder's."""
        variables = (
            self.variables[-2:] if self._model is None else (self.variables)
        )
        return sum(int(np.prod(v.shape)) for v in variables)

    def __call__(
        self, hidden_states: tf.Tensor, positions: tf.Tensor
    ) -> tf.Tensor:
        """Logits.

        Args:
            hidden_states: float32 tensor `(batch, tokens, layers, features)`,
                of the layers the head is for.
            positions: bool tensor `(batch, tokens)`. The tokens to read, or
                those with outputs. Of pairs apart int32: 1 and 2 at those of
                the first and of the second text, each in its half.

        Returns:
            float32 tensor `(batch, outputs)`; where tokens have outputs
            `(batch, tokens, outputs)`, with `MASKED_LOGIT` at the others.
        """
        if self._model is None:
            return self._own_logits(hidden_states[:, :, -1], positions)
        with reference_only():
            return self._model((hidden_states, positions), training=False)

    def _own_logits(self, states, positions):
        *pooler, kernel, bias = self.variables
        if self.per_token:
            logits = tf.tensordot(states, kernel, axes=1) + bias
            return masked_logits(logits, positions)
        if not self.is_apart:
            pooled = self._text_vectors(states, positions, pooler)
            return tf.matmul(pooled, kernel) + bias
        vectors = [
            self._text_vectors(text, mask, pooler)
            for text, mask in zip(
                tf.split(states, 2, axis=1),
                tf.split(positions > 0, 2, axis=1),
                strict=True,
            )
        ]
        return tf.matmul(compared(*vectors), kernel) + bias

    def _text_vectors(self, states, mask, pooler):
        """What stands for whole texts, `(batch, features)`."""
        if self._pooling == "mean":
            return _mean(states, mask)
        pooled = states[:, 0]
        if pooler:
            pooled = tf.tanh(tf.matmul(pooled, pooler[0]) + pooler[1])
        return pooled


def _mean(states, mask):
    mask = mask[:, :, tf.newaxis]
    count = tf.reduce_sum(tf.cast(mask, tf.float32), axis=1)
    # A row that only fills a batch up may have none: not a number in JSON.
    count = tf.maximum(count, 1.0)
    return tf.reduce_sum(tf.where(mask, states, 0.0), axis=1) / count


def _pooling_model(config):
    model = _MODELS.get(config.get("type"))
    settings = {key: config[key] for key in _SETTINGS if key in config}
    try:
        return model(**settings)
    except (TypeError, ValueError) as error:
        raise DataError(f"head: {config} describes none: {error}") from None
