"""What holds for every Keras layer and model, and how it is checked."""

import inspect
import json
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from bvkeras.testing.check import expect, expect_close


def check_config(layer: keras.Layer) -> None:
    """The config is JSON, says every argument, and gives an equal layer."""
    config = layer.get_config()
    # Of the class early releases of Python 3.11 give that of Keras' `__new__`.
    signature = inspect.signature(type(layer).__init__)
    for name, parameter in list(signature.parameters.items())[1:]:
        expect(
            name in config or parameter.kind is parameter.VAR_KEYWORD,
            f"get_config: says nothing of the argument {name!r}",
        )
    again = type(layer).from_config(config)
    _expect_config(again, config, "from_config")
    stored = json.dumps(keras.saving.serialize_keras_object(layer))
    restored = keras.saving.deserialize_keras_object(json.loads(stored))
    expect(
        type(restored) is type(layer),
        f"of the serialized config: received a {type(restored).__name__}",
    )
    _expect_config(restored, config, "of the serialized config")


def check_symbolic(layer: keras.Layer, inputs: Any, eager_output: Any) -> None:
    """A functional model around the layer gives what the layer gives."""
    symbolic = symbolic_inputs(inputs)
    output = layer(symbolic)
    expected = (None, *eager_output.shape[1:])
    expect(
        output.shape == expected,
        f"symbolic output: received shape {output.shape}, expected {expected}",
    )
    expected = keras.backend.standardize_dtype(eager_output.dtype)
    expect(
        output.dtype == expected,
        f"symbolic output: received {output.dtype}, expected {expected}",
    )
    functional = keras.Model(symbolic, output)
    expect_close(
        as_array(functional(inputs)),
        as_array(eager_output),
        "in a functional model the outputs are others",
        share=0.0,
    )


def check_fit_step(layer: keras.Layer, inputs: Any) -> None:
    """One step of `fit` on the layer's own moves every weight."""
    symbolic = symbolic_inputs(inputs)
    output = layer(symbolic)
    before = [as_array(w.value) for w in layer.trainable_weights]
    functional = keras.Model(symbolic, output)
    functional.compile(keras.optimizers.SGD(1.0), "mean_squared_error")
    # A step that makes the optimizer's variables is traced twice.
    functional.optimizer.build(functional.trainable_variables)
    random = np.random.default_rng(0)
    num_examples = keras.tree.flatten(inputs)[0].shape[0]
    target = random.normal(size=(num_examples, *output.shape[1:]))
    history = functional.fit(inputs, target, verbose=0)
    expect(np.isfinite(history.history["loss"]).all(), "fit: the loss is NaN")
    for weight, old in zip(layer.trainable_weights, before, strict=True):
        expect(
            (as_array(weight.value) != old).any(),
            f"fit: {weight.path} was not trained",
        )


def check_saving(model: keras.Model, inputs: Any) -> None:
    """A saved model loads, predicts and saves as well as the first one."""
    predictions = model.predict(inputs, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first.keras", "second.keras"):
            path = pathlib.Path(folder) / name
            model.save(path)
            config = model.get_config()
            model = keras.models.load_model(path)
            _expect_config(model, config, "of a loaded model")
            expect_close(
                model.predict(inputs, verbose=0),
                predictions,
                "a loaded model predicts something else",
                share=0.0,
            )


def symbolic_inputs(inputs: Any) -> Any:
    """A `keras.Input` of any batch size for every array."""
    return keras.tree.map_structure(
        lambda array: keras.Input(array.shape[1:], dtype=str(array.dtype)),
        inputs,
    )


def as_array(tensor: Any) -> np.ndarray:
    """A tensor, symbolic ones excepted, as an array."""
    return keras.ops.convert_to_numpy(tensor)


def randomize(layer: keras.Layer) -> None:
    """Gives every trainable weight a value: zeros hide what is wrong."""
    random = np.random.default_rng(2)
    for weight in layer.trainable_weights:
        weight.assign(0.5 * random.normal(size=weight.shape))


def _expect_config(
    layer: keras.Layer, expected: dict[str, Any], where: str
) -> None:
    """Names the first entry of a layer's config that is not as expected."""
    found = layer.get_config()
    for name in {**expected, **found}:
        one, other = (
            json.dumps(config.get(name), default=str)
            for config in (found, expected)
        )
        expect(
            one == other,
            f"{where}: {name} is {one:.80}, expected {other:.80}",
        )
