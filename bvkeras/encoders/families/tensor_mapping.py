"""Which tensor of a checkpoint fills which variable of a backbone."""

from collections.abc import Iterator
from typing import NamedTuple

import keras

from bvkeras.encoders.families.layer_names import LayerNames


class TensorMapping(NamedTuple):
    """A tensor in PyTorch's layout, and the variable it fills.

    Attributes:
        name: str. The tensor's, without what `Family.tensor_prefix` says.
        variable: keras.Variable.
        num_inputs: int. Of a dense layer's kernel, which PyTorch keeps as
            `(outputs, inputs)`; 0 for all others. Defaults to `0`.
        first_row: int. Rows before it are left out. Defaults to `0`.
        added: str, or None. A tensor whose first row is added to every row.
            Defaults to `None`.
    """

    name: str
    variable: keras.Variable
    num_inputs: int = 0
    first_row: int = 0
    added: str | None = None


def dense_tensors(
    name: str, layer: keras.layers.Layer, num_inputs: int
) -> Iterator[TensorMapping]:
    """Kernel and bias of a dense layer."""
    yield TensorMapping(f"{name}.weight", layer.kernel, num_inputs)
    yield TensorMapping(f"{name}.bias", layer.bias)


def norm_tensors(
    name: str, layer: keras.layers.Layer
) -> Iterator[TensorMapping]:
    """Scale and offset of a LayerNorm."""
    yield TensorMapping(f"{name}.weight", layer.gamma)
    yield TensorMapping(f"{name}.bias", layer.beta)


def layer_tensors(
    prefix: str,
    names: LayerNames,
    layer: keras.layers.Layer,
    attention: dict[str, keras.layers.Layer],
    sizes: dict[str, int],
) -> Iterator[TensorMapping]:
    """All tensors of a transformer layer.

    Args:
        prefix: str. In front of the names.
        names: LayerNames.
        layer: layer. keras-hub's.
        attention: dict. Its attention's dense layers: "query", "key", "value"
            and "attention_output".
        sizes: dict. "hidden_dim" and "intermediate_dim".
    """
    hidden_dim = sizes["hidden_dim"]
    for part, dense in attention.items():
        name = f"{prefix}.{getattr(names, part)}"
        yield from dense_tensors(name, dense, hidden_dim)
    yield from norm_tensors(
        f"{prefix}.{names.attention_norm}", layer._self_attention_layer_norm
    )
    yield from dense_tensors(
        f"{prefix}.{names.intermediate}",
        layer._feedforward_intermediate_dense,
        hidden_dim,
    )
    yield from dense_tensors(
        f"{prefix}.{names.output}",
        layer._feedforward_output_dense,
        sizes["intermediate_dim"],
    )
    yield from norm_tensors(
        f"{prefix}.{names.output_norm}", layer._feedforward_layer_norm
    )
