"""What a head and a pooler share: they read hidden states and a mask."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bvkeras.errors import BvkerasError
from bvkeras.testing import samples
from bvkeras.testing.check import expect, expect_close, one_line
from bvkeras.testing.keras_checks import as_array, randomize

# As much as 8 bits of a mantissa round sums of this few products.
_ROUNDED = 0.05
_LARGE = 1e3


@dataclasses.dataclass(frozen=True)
class Contract:
    """A layer or a model on hidden states, made anew for each check.

    Attributes:
        make: callable. Makes one, not built; passes keyword arguments, as
            `dtype`, on.
        per_token: bool. Whether each token has outputs of its own, which
            are compared where the mask is true.
    """

    make: Callable[..., keras.Layer]
    per_token: bool

    def made(self, **kwargs: Any) -> keras.Layer:
        """One that is built, with values in all its weights."""
        layer = self.make(**kwargs)
        layer(samples.hidden_states(), mask=samples.mask())
        randomize(layer)
        return layer

    def compared(self, outputs: Any, mask: np.ndarray) -> np.ndarray:
        """What is compared of outputs: of tokens, the real ones alone."""
        outputs = as_array(keras.ops.cast(outputs, "float32"))
        return outputs[mask] if self.per_token else outputs


def list_equals_stacked(contract: Contract) -> None:
    """A list of layers gives what the stacked tensor gives."""
    layer, (states, mask) = contract.made(), _sample()
    expect_close(
        contract.compared(layer(samples.layers_of(states), mask=mask), mask),
        contract.compared(layer(states, mask=mask), mask),
        "a list of layers gives something else than the stacked tensor",
    )


def padding_changes_nothing(contract: Contract) -> None:
    """What stands at padding reaches neither outputs nor gradients."""
    layer, (states, mask) = contract.made(), _sample()
    longer = np.pad(states, [(0, 0), (0, 1), (0, 0), (0, 0)])
    expected, gradients = _outputs_and_gradients(contract, layer, states, mask)
    for value, message in (
        (_LARGE, "what stands at padded positions changes the {}"),
        (
            np.nan,
            "NaN at padded positions reaches the {}; expected a selection, as "
            "keras.ops.where, and no product with the mask",
        ),
    ):
        filled = np.where(mask[..., np.newaxis, np.newaxis], states, value)
        found, others = _outputs_and_gradients(contract, layer, filled, mask)
        expect_close(found, expected, message.format("outputs"))
        for one, other in zip(others, gradients, strict=True):
            expect_close(one, other, message.format("gradients"))
    longer_mask = np.pad(mask, [(0, 0), (0, 1)])
    found = layer(longer, mask=longer_mask)
    expect_close(
        contract.compared(found, longer_mask),
        expected,
        "one more position of padding changes the outputs",
    )


def every_weight_has_a_gradient(contract: Contract) -> None:
    """Each trainable weight has a gradient, finite and not all zero."""
    layer, (states, mask) = contract.made(), _sample()
    _, gradients = _outputs_and_gradients(contract, layer, states, mask)
    for weight, gradient in zip(
        layer.trainable_weights, gradients, strict=True
    ):
        expect(
            np.isfinite(gradient).all() and gradient.any(),
            f"{weight.path}: received a gradient that is zero or not finite",
        )


def empty_batch(contract: Contract) -> None:
    """No text gives no outputs, and no error."""
    layer, (states, mask) = contract.made(), _sample()
    expected = (0, *layer(states, mask=mask).shape[1:])
    found = tuple(layer(states[:0], mask=mask[:0]).shape)
    expect(
        found == expected,
        f"received shape {found} of none, expected {expected}",
    )


def dtype_policies(contract: Contract) -> None:
    """Mixed precision gives nearly the same, of weights in float32."""
    reference, (states, mask) = contract.made(), _sample()
    expected = contract.compared(reference(states, mask=mask), mask)
    for policy in ("mixed_bfloat16", "mixed_float16"):
        layer = contract.made(dtype=policy)
        found = contract.compared(layer(states, mask=mask), mask)
        expect_close(
            found, expected, f"under {policy} the outputs are others", _ROUNDED
        )
        for weight in layer.trainable_weights:
            expect(
                weight.dtype == "float32",
                f"{weight.path}: is {weight.dtype} under {policy}, expected "
                "float32",
            )


def bfloat16_states(contract: Contract) -> None:
    """Takes hidden states in bfloat16, or says in one line why not."""
    _narrow(contract, "bfloat16")


def float16_states(contract: Contract) -> None:
    """Takes hidden states in float16, or says in one line why not."""
    _narrow(contract, "float16")


def eight_bit_states(contract: Contract) -> None:
    """Takes pairs of int8 values and scales, or says in one line why not."""
    values, scales = samples.quantized(samples.hidden_states())
    exact = values * scales[..., np.newaxis]
    _taken_or_refused(contract, (values, scales), exact, "8-bit hidden states")


# Of heads and poolers both, in the order they are called.
SHARED_CHECKS = {
    "list_equals_stacked": list_equals_stacked,
    "padding_changes_nothing": padding_changes_nothing,
    "every_weight_has_a_gradient": every_weight_has_a_gradient,
    "empty_batch": empty_batch,
    "dtype_policies": dtype_policies,
    "bfloat16_states": bfloat16_states,
    "float16_states": float16_states,
    "eight_bit_states": eight_bit_states,
}


def _narrow(contract, dtype):
    states = tf.cast(samples.hidden_states(), dtype)
    exact = tf.cast(states, "float32").numpy()
    _taken_or_refused(contract, states, exact, f"hidden states in {dtype}")


def _taken_or_refused(contract, states, exact, what):
    """Outputs are those of `exact`, or the refusal is one line."""
    layer, mask = contract.made(), samples.mask()
    expected = contract.compared(layer(exact, mask=mask), mask)
    try:
        outputs = layer(states, mask=mask)
    except (BvkerasError, TypeError, ValueError) as error:
        expect(
            one_line(error) == str(error).strip(),
            f"{what} are refused, but not in one line: {one_line(error)}",
        )
        return
    found = contract.compared(outputs, mask)
    expect_close(
        found, expected, f"{what} give something else than float32", _ROUNDED
    )


def _outputs_and_gradients(contract, layer, states, mask):
    """Outputs, and gradients of a sum of them, differently weighted."""
    random = np.random.default_rng(3)
    with tf.GradientTape() as tape:
        outputs = layer(states.astype("float32"), mask=mask)
        factors = random.normal(size=outputs.shape)
        if contract.per_token:
            shape = mask.shape + (1,) * (outputs.shape.rank - 2)
            outputs = tf.where(mask.reshape(shape), outputs, 0.0)
        loss = tf.reduce_sum(tf.cast(outputs, "float32") * factors)
    gradients = tape.gradient(
        loss, [weight.value for weight in layer.trainable_weights]
    )
    for weight, gradient in zip(
        layer.trainable_weights, gradients, strict=True
    ):
        expect(gradient is not None, f"{weight.path}: has no gradient")
    found = [as_array(tf.convert_to_tensor(g)) for g in gradients]
    return contract.compared(outputs, mask), found


def _sample():
    return samples.hidden_states(), samples.mask()
