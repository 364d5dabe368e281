"""Checks of a pooler: a Keras layer on hidden states."""

from collections.abc import Callable

import keras
import numpy as np

from bvkeras.testing import samples
from bvkeras.testing.check import (
    Check,
    checks_of,
    expect,
    expect_close,
    run_all,
)
from bvkeras.testing.contract import SHARED_CHECKS, Contract
from bvkeras.testing.heads import name_of
from bvkeras.testing.keras_checks import (
    as_array,
    check_config,
    check_fit_step,
    check_saving,
    check_symbolic,
)


def check_pooler(
    make_pooler: Callable[..., keras.Layer], *, name: str | None = None
) -> None:
    """Checks that a pooler can stand where `LinearPooling` stands.

    A pooler is a Keras layer. It takes hidden states `(batch, tokens, layers,
    features)` or a list of layers, each `(batch, tokens, features)`, with a
    mask `(batch, tokens)` by argument; it may take 8-bit pairs `(values,
    scales)` too. It gives `(batch, tokens, …)` of its compute type, zero at
    padding.

    Args:
        make_pooler: callable. Gives a new layer each time, and passes keyword
            arguments, as `dtype`, on to `keras.layers.Layer`.
        name: str. What to call it in messages. Defaults to its own name.

    Raises:
        CheckError: a check fails; the first, named, in one line.

    Example:
        ```python
        import bvkeras

        bvkeras.testing.check_pooler(bvkeras.layers.ScalarMix)
        ```
    """
    run_all(pooler_checks(make_pooler, name=name))


def pooler_checks(
    make_pooler: Callable[..., keras.Layer], *, name: str | None = None
) -> list[Check]:
    """The checks of `check_pooler`, to call one by one.

    Args:
        make_pooler: as `check_pooler` takes it; so is `name`.
    """
    contract = Contract(make_pooler, per_token=True)
    return checks_of(name or name_of(make_pooler), contract, _CHECKS)


def _outputs(pooler):
    """`(batch, tokens, …)` of the compute type, zero at padding."""
    layer, states, mask = pooler.made(), samples.hidden_states(), samples.mask()
    outputs = layer(states, mask=mask)
    expect(
        tuple(outputs.shape[:2]) == mask.shape,
        f"outputs: received shape {tuple(outputs.shape)}, expected (batch, "
        "tokens, …)",
    )
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    expect(
        dtype == layer.compute_dtype,
        f"outputs: are {dtype}, expected {layer.compute_dtype}",
    )
    found = as_array(outputs)
    expect(np.isfinite(found).all(), "outputs: some are not finite")
    expect(not found[~mask].any(), "outputs: are not zero at padding")


def _functional_model(pooler):
    layer, states = pooler.made(), samples.hidden_states()
    check_symbolic(layer, states, layer(states))


def _config(pooler):
    """The config makes an equal layer; what it says nothing of would differ."""
    layer, states = pooler.made(), samples.hidden_states()
    check_config(layer)
    again = type(layer).from_config(layer.get_config())
    again(states)
    again.set_weights(layer.get_weights())
    expect_close(
        as_array(again(states)),
        as_array(layer(states)),
        "from_config: with equal weights it gives something else",
    )


def _saves_and_loads(pooler):
    states = samples.hidden_states()
    inputs = keras.Input(states.shape[1:])
    check_saving(keras.Model(inputs, pooler.made()(inputs)), states)


def _fit_moves_every_weight(pooler):
    check_fit_step(pooler.made(), samples.hidden_states())


_CHECKS = {
    "outputs": _outputs,
    "functional_model": _functional_model,
    "config": _config,
    "saves_and_loads": _saves_and_loads,
    "fit_moves_every_weight": _fit_moves_every_weight,
    **SHARED_CHECKS,
}
