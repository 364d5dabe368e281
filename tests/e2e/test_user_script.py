"""What a user writes: the layers in a model of their own, and the README."""

import pathlib
import re
import warnings

import keras
import numpy as np
import pytest

import bvkeras
from bvkeras.training.optimizers import adamw
from tests import fresh_process

_ROOT = pathlib.Path(__file__).parents[2]
_TEXTS = ["Łukasz sold the kite.", "it was raining, again", "7", "a b c " * 20]

_STRICT = "import warnings; warnings.filterwarnings('error', module='bvkeras')"


@pytest.fixture(scope="module")
def user_models(tiny_bert, tmp_path_factory):
    """Models trained by the script, frozen and not, saved and loaded anew.

    Gives for each its weights before and after, its predictions and those of
    the fresh process, and the fresh process's standard error.
    """
    folder = tmp_path_factory.mktemp("user")
    results = {}
    for trainable in (False, True):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module="bvkeras")
            results[trainable] = _user_script(tiny_bert, trainable, folder)
    # What a user has in a fresh process: bvkeras imported, nothing else.
    script = f"""{_STRICT}
import bvkeras
import keras
import numpy as np
inputs = dict(np.load({str(folder / "inputs.npz")!r}))
for trainable in (False, True):
    path = f"{folder}/{{trainable}}"
    model = keras.models.load_model(path + ".keras")
    np.save(path + ".npy", model.predict(inputs, verbose=0))
"""
    done = fresh_process.run("-c", script, check=True)
    for trainable, result in results.items():
        result["loaded"] = np.load(folder / f"{trainable}.npy")
    return results, done.stderr


def _user_script(tiny_bert, trainable, folder):
    encoder = bvkeras.load_backbone(tiny_bert)
    batch = encoder.preprocess(_TEXTS, max_tokens=32)
    inputs = {k: keras.Input((32,), dtype="int32", name=k) for k in batch}
    states = bvkeras.layers.HiddenStates(encoder.backbone, trainable=trainable)
    pooled = bvkeras.layers.LinearPooling(4)(states(inputs))
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(pooled))
    model = keras.Model(inputs, logits)
    # Its schedule is ours, and part of what is saved.
    model.compile(adamw(1e-2, total_steps=2), "mse")

    before = [weight.numpy() for weight in encoder.backbone.weights]
    model.fit(batch, np.eye(2)[[0, 1, 0, 1]], epochs=2, verbose=0)
    model.save(folder / f"{trainable}.keras")
    np.savez(folder / "inputs.npz", **batch)
    return {
        "names": [weight.path for weight in encoder.backbone.weights],
        "before": before,
        "after": [weight.numpy() for weight in encoder.backbone.weights],
        "predictions": model.predict(batch, verbose=0),
    }


@pytest.mark.parametrize("trainable", [False, True])
def test_model_loads_in_a_fresh_process(trainable, user_models):
    result = user_models[0][trainable]
    assert np.ptp(result["predictions"]) > 0
    np.testing.assert_array_equal(result["loaded"], result["predictions"])


def test_fresh_process_is_not_warned(user_models):
    assert "Warning" not in user_models[1]
    assert "bvkeras" not in user_models[1]


def test_frozen_encoder_stays_as_it_is(user_models):
    result = user_models[0][False]
    for before, after in zip(result["before"], result["after"], strict=True):
        np.testing.assert_array_equal(after, before)


def test_trainable_encoder_is_trained_but_for_the_pooler(user_models):
    result = user_models[0][True]
    for name, before, after in zip(
        result["names"], result["before"], result["after"], strict=True
    ):
        # Softmax takes the keys' bias out: its gradient is rounding alone.
        if not name.endswith("key/bias"):
            changed = (before != after).any()
            assert changed == ("pooled_dense" not in name), name


def test_python_of_the_readme_runs(tmp_path):
    text = (_ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(
        r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    assert blocks, "README.md has no python block"
    script = tmp_path / "readme.py"
    script.write_text("\n".join([_STRICT, *blocks]), encoding="utf-8")
    fresh_process.run(script, cwd=tmp_path, check=True)
