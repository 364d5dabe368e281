"""The sizes of a BERT encoder, and how many weights they ask for."""

from collections.abc import Mapping

# keras-hub's names, of integers that are at least 1.
SIZES = (
    "vocabulary_size",
    "num_layers",
    "num_heads",
    "hidden_dim",
    "intermediate_dim",
    "max_sequence_length",
    "num_segments",
)


def bert_weights(sizes: Mapping[str, int]) -> int:
    """Weights of an encoder of those sizes, without BERT's pooler.

    Args:
        sizes: mapping. Has the names in `SIZES`.
    """
    hidden, inner = sizes["hidden_dim"], sizes["intermediate_dim"]
    rows = (
        sizes["vocabulary_size"]
        + sizes["max_sequence_length"]
        + sizes["num_segments"]
    )
    norm = 2 * hidden
    attention = 4 * (hidden + 1) * hidden
    feedforward = (hidden + 1) * inner + (inner + 1) * hidden
    layer = attention + feedforward + 2 * norm
    return rows * hidden + norm + sizes["num_layers"] * layer
