"""The two GELUs a checkpoint can mean, and which one a backbone computes.

keras-hub's backbones of BERT, ELECTRA and ALBERT always compute the tanh form;
most checkpoints on Hugging Face were trained with the erf form. They differ by
up to 5e-4 for each unit, which six layers make visible.
"""

import keras

from bvkeras.encoders.families.registry import family_of
from bvkeras.errors import ArgumentError

HIDDEN_ACTS = ("erf", "tanh")


@keras.saving.register_keras_serializable(package="bvkeras")
def gelu_tanh(x):
    """GELU in the tanh form of Hendrycks and Gimpel (2016), section 2."""
    return keras.activations.gelu(x, approximate=True)


_FUNCTIONS = {"erf": keras.activations.gelu, "tanh": gelu_tanh}
# By name: keras-hub keeps its own `gelu_approximate` private.
_HIDDEN_ACT_OF = {
    "gelu": "erf",
    "gelu_tanh": "tanh",
    "gelu_approximate": "tanh",
}


def check_hidden_act(hidden_act: str) -> None:
    """Raises ArgumentError unless `hidden_act` is "erf" or "tanh"."""
    if hidden_act not in HIDDEN_ACTS:
        raise ArgumentError(
            f"hidden_act must be 'erf' or 'tanh', got {hidden_act!r}"
        )


def get_hidden_act(backbone: keras.Model) -> str:
    """The GELU that `backbone` computes: "erf" or "tanh".

    Args:
        backbone: keras.Model. keras-hub's.

    Raises:
        ArgumentError: its layers compute something else, or not all the same.
    """
    names = {
        getattr(
            layer._feedforward_intermediate_dense.activation,
            "__name__",
            "an unnamed function",
        )
        for layer in family_of(backbone).transformer_layers(backbone)
    }
    hidden_acts = {_HIDDEN_ACT_OF.get(name) for name in names}
    hidden_act = hidden_acts.pop() if len(hidden_acts) == 1 else None
    if hidden_act is None:
        raise ArgumentError(
            "backbone must compute one GELU in all its transformer layers, "
            f"got the activations {sorted(names)}"
        )
    return hidden_act


def set_hidden_act(backbone: keras.Model, hidden_act: str) -> None:
    """Makes `backbone` compute the GELU `hidden_act`, in place.

    Args:
        backbone: keras.Model. keras-hub's.
        hidden_act: str. "erf" or "tanh".

    Raises:
        ArgumentError: `hidden_act` is neither.
    """
    check_hidden_act(hidden_act)
    function = _FUNCTIONS[hidden_act]
    for layer in family_of(backbone).transformer_layers(backbone):
        layer.activation = function
        layer._feedforward_intermediate_dense.activation = function
    # A graph that `predict` traced before holds the former GELU.
    backbone.predict_function = None
