"""What a family's config.json says, and where."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

_SIZES = {
    "vocabulary_size": "vocab_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "hidden_dim": "hidden_size",
    "intermediate_dim": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
}
_POSITIONS = {"position_embedding_type": ("absolute", ("absolute",))}


@dataclasses.dataclass(frozen=True)
class ConfigEntries:
    """The entries of a config.json that decide the hidden states.

    Attributes:
        sizes: mapping. keras-hub's arguments that are whole numbers from 1 on,
            with the entry each comes from. Defaults to those that BERT and
            its like have in common.
        more_sizes: mapping. More of them. Defaults to none.
        size_defaults: mapping. transformers' defaults of those entries that
            files leave out. Defaults to none.
        activation: str. The entry of the GELU.
        default_activation: str. transformers' default of it.
        dropout: pair of str. Entries of the rates of dropout, after layers
            and in attention.
        default_dropout: float. transformers' default of both.
        default_epsilon: float. transformers' default of `layer_norm_eps`.
        fixed: mapping. Entries whose value keras-hub computes and no other:
            transformers' default, and the values it may have.
        idle: sequence of str. Entries of this family that no hidden state
            depends on. Defaults to none.
    """

    sizes: Mapping[str, str] = dataclasses.field(default_factory=_SIZES.copy)
    more_sizes: dataclasses.InitVar[Mapping[str, str] | None] = None
    size_defaults: Mapping[str, int] = dataclasses.field(default_factory=dict)
    activation: str = "hidden_act"
    default_activation: str = "gelu"
    dropout: tuple[str, str] = (
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
    )
    default_dropout: float = 0.1
    default_epsilon: float = 1e-12
    fixed: Mapping[str, tuple[Any, Sequence[Any]]] = dataclasses.field(
        default_factory=_POSITIONS.copy
    )
    idle: Sequence[str] = ()

    def __post_init__(self, more_sizes: Mapping[str, str] | None):
        if more_sizes:
            object.__setattr__(self, "sizes", {**self.sizes, **more_sizes})
