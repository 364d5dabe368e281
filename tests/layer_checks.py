"""The same checks for every layer and every model."""

import keras
import numpy as np
import pytest

from bvkeras.testing.keras_checks import (
    check_config,
    check_fit_step,
    check_saving,
    check_symbolic,
)
from tests import fresh_process

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
# float16 scales its loss, bfloat16 trains as float32 does.
_FITTED = ("float32", "mixed_float16")


def on_both(names, cases, quick):
    """Runs a test on both implementations, few of its cases in `make test`.

    Args:
        names: tuple of str. The test's arguments.
        cases: sequence of tuples, with a value for each.
        quick: dict. By implementation, the places of the cases that are not
            `full`.

    Returns:
        pytest.mark.parametrize, which the fixture `each_implementation` obeys.
    """
    return pytest.mark.parametrize(
        ("each_implementation", *names),
        [
            pytest.param(
                *(implementation, *case),
                marks=()
                if number in quick[implementation]
                else pytest.mark.full,
            )
            for implementation in ("native", "reference")
            for number, case in enumerate(cases)
        ],
        indirect=["each_implementation"],
    )


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
    """Config, weights, eager and symbolic call, a fit step, dtype policies.

    Args:
        layer_class: class. The layer or model to check.
        init_kwargs: dict. Its arguments.
        inputs: array, or a structure of arrays, of at least two examples.
        output_shape: tuple. Shape of the output for `inputs`.
        num_weights: int. Weight tensors.
        num_parameters: int. Numbers in them.
        output_dtype: string. Defaults to `None`: the policy's compute type.
    """
    check_config(layer_class(**init_kwargs))
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
        if policy in _FITTED:
            check_fit_step(layer_class(**init_kwargs, dtype=policy), inputs)


def check_model(model_class, init_kwargs, inputs, **expected):
    """`check_layer`, and saving and loading.

    Args:
        model_class: class. The model to check.
        init_kwargs: dict. Its arguments.
        inputs: array, or a structure of arrays.
        **expected: What `check_layer` expects.
    """
    check_layer(model_class, init_kwargs, inputs, **expected)
    check_saving(model_class(**init_kwargs), inputs)


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
    fresh_process.run("-c", "\n".join(script), check=True)
    for index, model in enumerate(models):
        np.testing.assert_array_equal(
            np.load(directory / f"{index}.keras.npy"),
            model.predict(inputs, verbose=0),
        )
