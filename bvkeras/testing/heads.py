"""Checks of a head: a Keras model on hidden states."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bvkeras.errors import ArgumentError
from bvkeras.ops.span_logits import MASKED_LOGIT, answer_positions
from bvkeras.serving.served_head import ServedHead
from bvkeras.testing import samples
from bvkeras.testing.check import (
    Check,
    checks_of,
    expect,
    expect_close,
    run_all,
)
from bvkeras.testing.contract import SHARED_CHECKS, Contract
from bvkeras.testing.keras_checks import (
    as_array,
    check_config,
    check_fit_step,
    check_saving,
    check_symbolic,
)


def check_head(
    make_head: Callable[..., keras.Model],
    kind: str = "classes",
    *,
    name: str | None = None,
    learning_rate: float = 0.03,
    epochs: int = 20,
) -> None:
    """Checks that a head can stand where bvkeras' own stand.

    A head is a Keras model. It takes hidden states `(batch, tokens, layers,
    features)` or a list of layers, each `(batch, tokens, features)`, with a
    mask `(batch, tokens)` by argument or in the pair `(hidden_states, mask)`;
    it may take 8-bit pairs `(values, scales)` too. It gives float32 outputs:
    logits `(batch, classes)`, scores `(batch, 1)`, or of spans logits
    `(batch, tokens, 2)`.

    Args:
        make_head: callable. Gives a new head each time, not built or built
            for 3 layers and 7 features, and passes keyword arguments, as
            `dtype`, on to `keras.Model`. It is given up to 6 tokens.
        kind: str. `"classes"` (of two or more), `"score"` or `"span"`.
            Defaults to `"classes"`.
        name: str. What to call it in messages. Defaults to its own name.
        learning_rate: float. Adam's, for an easy task. Defaults to `0.03`.
        epochs: int. Passes over that task's 128 texts, by 64. Defaults to `20`.

    Raises:
        ArgumentError: `kind` is none of the three.
        CheckError: a check fails; the first, named, in one line.

    Example:
        ```python
        import functools

        import bvkeras

        make_head = functools.partial(
            bvkeras.models.PoolingClassifier, num_classes=2, units=4
        )
        bvkeras.testing.check_head(make_head)
        ```
    """
    run_all(
        head_checks(
            make_head,
            kind,
            name=name,
            learning_rate=learning_rate,
            epochs=epochs,
        )
    )


def head_checks(
    make_head: Callable[..., keras.Model],
    kind: str = "classes",
    *,
    name: str | None = None,
    learning_rate: float = 0.03,
    epochs: int = 20,
) -> list[Check]:
    """The checks of `check_head`, to call one by one.

    Args:
        make_head: as `check_head` takes it; so are the others.
    """
    samples.check_kind(kind)
    head = _Head(make_head, kind == "span", kind, learning_rate, epochs)
    return checks_of(name or name_of(make_head), head, _CHECKS)


def name_of(make: Callable[..., Any]) -> str:
    """The name of a class, a function, or what a partial calls."""
    while isinstance(make, functools.partial):
        make = make.func
    return getattr(make, "__name__", type(make).__name__)


@dataclasses.dataclass(frozen=True)
class _Head(Contract):
    kind: str
    learning_rate: float
    epochs: int


def _outputs(head):
    """Their shape and type; finite, of padding alone too; twice the same."""
    model, states, mask = head.made(), samples.hidden_states(), samples.mask()
    outputs = model((states, mask))
    shape, batch = tuple(outputs.shape), len(states)
    if head.kind == "span":
        good, expected = shape == (*mask.shape, 2), "(batch, tokens, 2)"
    elif head.kind == "score":
        good, expected = shape == (batch, 1), "(batch, 1)"
    else:
        good = len(shape) == 2 and shape[0] == batch and shape[1] >= 2
        expected = "(batch, classes)"
    expect(good, f"outputs: received shape {shape}, expected {expected}")
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    expect(dtype == "float32", f"outputs: are {dtype}, expected float32")
    found = as_array(outputs)
    expect(np.isfinite(found).all(), "outputs: some are not finite")
    expect_close(
        as_array(model((states, mask))),
        found,
        "called again, outside of training, it gives something else",
        share=0.0,
    )
    if head.kind == "span":
        expect(
            (found[~mask] <= MASKED_LOGIT / 2).all(),
            "outputs: expected bvkeras.ops.span_logits.MASKED_LOGIT where the "
            "mask is false",
        )


def _mask_by_argument(head):
    """A mask by argument does what it does in the pair."""
    model, states, mask = head.made(), samples.hidden_states(), samples.mask()
    expect_close(
        as_array(model(states, mask=mask)),
        as_array(model((states, mask))),
        "a mask by argument gives something else than in the pair",
    )


def _functional_model(head):
    inputs = (samples.hidden_states(), samples.mask())
    model = head.made()
    check_symbolic(model, inputs, model(inputs))


def _config(head):
    """The config makes an equal head; what it says nothing of would differ."""
    model, states, mask = head.made(), samples.hidden_states(), samples.mask()
    check_config(model)
    again = type(model).from_config(model.get_config())
    again(states, mask=mask)
    shapes = [weight.shape for weight in model.weights]
    others = [weight.shape for weight in again.weights]
    expect(
        shapes == others,
        f"from_config: received weights {others}, expected {shapes}",
    )
    again.set_weights(model.get_weights())
    expect_close(
        as_array(again(states, mask=mask)),
        as_array(model(states, mask=mask)),
        "from_config: with equal weights it gives something else",
    )


def _saves_and_loads(head):
    check_saving(head.made(), (samples.hidden_states(), samples.mask()))


def _fit_moves_every_weight(head):
    model = head.made()
    if head.kind != "span":
        check_fit_step(model, (samples.hidden_states(), samples.mask()))
        return
    # A squared error of what is masked would be infinite.
    check_fit_step(model, samples.hidden_states())


def _learns(head):
    keras.utils.set_random_seed(0)
    inputs, labels = samples.easy_task(head.kind)
    loss = samples.loss_of(head.kind)
    model = head.make()
    before = float(loss(labels, model(inputs)))
    model.compile(keras.optimizers.Adam(head.learning_rate), loss)
    model.optimizer.build(model.trainable_variables)
    model.fit(inputs, labels, batch_size=64, epochs=head.epochs, verbose=0)
    after = float(loss(labels, model(inputs)))
    most = samples.LEARNED * before
    expect(
        after < most,
        f"an easy task: the loss went from {before:.3g} to {after:.3g}, "
        f"expected below {most:.3g}",
    )


def _exports(head):
    """What an export computes is what the model does, if it can have it."""
    model, states, mask = head.made(), samples.hidden_states(), samples.mask()
    try:
        served = ServedHead.of(model)
    except ArgumentError:
        # An export makes its heads anew, and so of known kinds alone.
        return
    if head.kind == "span":
        # The first text's first token and the context can be answers.
        second = np.where(mask, np.minimum(np.arange(mask.shape[1]), 1), 0)
        mask = answer_positions(second.astype("int32"))
    expect_close(
        as_array(served(*map(keras.ops.convert_to_tensor, (states, mask)))),
        as_array(model((states, mask))),
        "exported it gives something else",
    )


_CHECKS = {
    "outputs": _outputs,
    "mask_by_argument": _mask_by_argument,
    "functional_model": _functional_model,
    "config": _config,
    "saves_and_loads": _saves_and_loads,
    "fit_moves_every_weight": _fit_moves_every_weight,
    **SHARED_CHECKS,
    "learns": _learns,
    "exports": _exports,
}
