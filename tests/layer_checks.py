"""The same checks for every layer and every model."""

import json
import subprocess
import sys

import keras
import numpy as np

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def check_layer(
    layer_class,
    init_kwargs,
    inputs,
    *,
    output_shape,
    num_weights,
    num_parameters,
    output_dtype=None,
):
    """Config, weights, eager and symbolic call, one fit step, dtype policies.

    Args:
        layer_class: class. The layer or model to check.
        init_kwargs: dict. Its arguments.
        inputs: array, or a structure of arrays, of at least two examples.
        output_shape: tuple. Shape of the output for `inputs`.
        num_weights: int. Weight tensors.
        num_parameters: int. Numbers in them.
        output_dtype: string. Defaults to `None`: the policy's compute type.
    """
    check_config(layer_class, init_kwargs)
    for policy in POLICIES:
        layer = layer_class(**init_kwargs, dtype=policy)
        output = layer(inputs)
        assert tuple(output.shape) == output_shape
        expected_dtype = output_dtype or layer.compute_dtype
        assert keras.backend.standardize_dtype(output.dtype) == expected_dtype
        assert np.isfinite(keras.ops.convert_to_numpy(output)).all()
        assert {weight.dtype for weight in layer.weights} == {"float32"}
        assert len(layer.weights) == num_weights
        assert layer.count_params() == num_parameters
        check_symbolic(layer, inputs, output)
        check_fit_step(layer_class(**init_kwargs, dtype=policy), inputs)


def check_config(layer_class, init_kwargs):
    """The config is JSON and gives back an equal object."""
    layer = layer_class(**init_kwargs)
    config = layer.get_config()
    for name in init_kwargs:
        assert name in config
    assert layer_class.from_config(config).get_config() == config
    stored = json.dumps(keras.saving.serialize_keras_object(layer))
    restored = keras.saving.deserialize_keras_object(json.loads(stored))
    assert type(restored) is layer_class
    assert restored.get_config() == config


def check_symbolic(layer, inputs, eager_output):
    """A functional model around the layer gives what the layer gives."""
    symbolic = symbolic_inputs(inputs)
    output = layer(symbolic)
    assert output.shape == (None, *eager_output.shape[1:])
    assert output.dtype == keras.backend.standardize_dtype(eager_output.dtype)
    functional = keras.Model(symbolic, output)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(functional(inputs)),
        keras.ops.convert_to_numpy(eager_output),
    )


def check_fit_step(layer, inputs):
    """One step of `fit` on the layer's own moves every weight."""
    symbolic = symbolic_inputs(inputs)
    output = layer(symbolic)
    before = [keras.ops.convert_to_numpy(w) for w in layer.weights]
    functional = keras.Model(symbolic, output)
    functional.compile(keras.optimizers.SGD(1.0), "mean_squared_error")
    random = np.random.default_rng(0)
    num_examples = keras.tree.flatten(inputs)[0].shape[0]
    target = random.normal(size=(num_examples, *output.shape[1:]))
    history = functional.fit(inputs, target, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    for weight, old in zip(layer.weights, before, strict=True):
        assert (keras.ops.convert_to_numpy(weight) != old).any(), weight.path


def check_model(model_class, init_kwargs, inputs, *, directory, **expected):
    """`check_layer`, and saving and loading.

    Args:
        model_class: class. The model to check.
        init_kwargs: dict. Its arguments.
        inputs: array, or a structure of arrays.
        directory: path. Where to save.
        **expected: What `check_layer` expects.
    """
    check_layer(model_class, init_kwargs, inputs, **expected)
    model = model_class(**init_kwargs)
    predictions = model.predict(inputs, verbose=0)
    # Twice, as a loaded model must save as well as the first one did.
    for name in ("first.keras", "second.keras"):
        model.save(directory / name)
        config = model.get_config()
        model = keras.models.load_model(directory / name)
        assert model.get_config() == config
        np.testing.assert_array_equal(
            model.predict(inputs, verbose=0), predictions
        )


def check_fresh_process(models, inputs, directory):
    """Saved models load and predict alike in a process without this one's.

    Args:
        models: list. Built models; only their modules are imported there.
        inputs: array, or a tuple of arrays, for all of them.
        directory: path. Where to save.
    """
    arrays = inputs if isinstance(inputs, tuple) else (inputs,)
    np.savez(directory / "inputs.npz", *arrays)
    script = [
        "import keras, numpy",
        f"arrays = numpy.load({str(directory / 'inputs.npz')!r})",
        "inputs = tuple(arrays[name] for name in arrays.files)",
        "inputs = inputs if len(inputs) > 1 else inputs[0]",
    ]
    for index, model in enumerate(models):
        path = str(directory / f"{index}.keras")
        model.save(path)
        script += [
            f"import {type(model).__module__}",
            f"model = keras.models.load_model({path!r})",
            "predictions = model.predict(inputs, verbose=0)",
            f"numpy.save({path + '.npy'!r}, predictions)",
        ]
    subprocess.run([sys.executable, "-c", "\n".join(script)], check=True)
    for index, model in enumerate(models):
        np.testing.assert_array_equal(
            np.load(directory / f"{index}.keras.npy"),
            model.predict(inputs, verbose=0),
        )


def symbolic_inputs(inputs):
    """A `keras.Input` of any batch size for every array."""
    return keras.tree.map_structure(
        lambda array: keras.Input(array.shape[1:], dtype=str(array.dtype)),
        inputs,
    )
