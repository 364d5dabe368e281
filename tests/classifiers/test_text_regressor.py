import numpy as np
import pytest

import bvkeras
from bvkeras.errors import ArgumentError
from tests.classifiers.texts import LABELS, TEXTS


def test_pairs_get_scores(regressor):
    pairs = (TEXTS, TEXTS[::-1])
    scores = regressor.predict(pairs)
    assert scores.shape == (24,)
    assert scores.dtype == np.float32
    found = regressor.evaluate(pairs, [float(x == "good") for x in LABELS])
    assert set(found) == {"pearson", "spearman", "mae", "rmse", "r2"}


def test_fine_tuned_encoder_is_saved_with_its_head(regressor, tmp_path):
    pairs = (TEXTS[:5], TEXTS[5:10])
    regressor.save(tmp_path / "model")
    loaded = bvkeras.load(tmp_path / "model")
    assert isinstance(loaded, bvkeras.TextRegressor)
    np.testing.assert_array_equal(
        loaded.predict(pairs), regressor.predict(pairs)
    )
    # A model saved there before is replaced.
    loaded.save(tmp_path / "model")
    assert bvkeras.load(tmp_path / "model").max_tokens == 24


def test_one_text_of_a_pair_is_refused(regressor):
    with pytest.raises(ArgumentError, match="takes text and text_b"):
        regressor.predict(TEXTS)


@pytest.mark.parametrize("score", ["high", None, float("nan"), True])
def test_what_is_no_score_is_named(tiny_bert, score):
    model = bvkeras.TextRegressor.from_preset(tiny_bert)
    with pytest.raises(ArgumentError, match="y: row 1 is"):
        model.fit(["a", "b"], [1.0, score])


def test_pairs_read_apart_are_scored_saved_and_exported(tiny_bert, tmp_path):
    """Texts of several pairs are encoded once; the answer is the same."""
    pairs, scores = (TEXTS, TEXTS[::-1]), [float(x == "good") for x in LABELS]
    model = bvkeras.TextRegressor(tiny_bert, pairs="apart")
    model.fit(pairs, scores, directory=tmp_path / "steps")
    cache = bvkeras.HiddenStateCache(tmp_path / "steps" / "cache" / "train")
    assert (len(cache), cache.manifest.examples) == (24, 24)
    found = model.predict(pairs)
    assert np.isfinite(found).all()
    model.save(tmp_path / "model")
    loaded = bvkeras.load(tmp_path / "model")
    assert loaded.pairs == "apart"
    np.testing.assert_array_equal(loaded.predict(pairs), found)
    loaded.export(tmp_path / "export")
    exported = bvkeras.serving.TextModel.open(tmp_path / "export")
    np.testing.assert_allclose(
        exported.predict(*pairs)["score"], found, atol=1e-5
    )


def test_one_text_has_nothing_to_be_apart_from(tiny_bert):
    model = bvkeras.TextRegressor(tiny_bert, pairs="apart")
    with pytest.raises(ArgumentError, match="pairs: expected joint"):
        model.fit(["a", "b"], [1.0, 2.0])
    with pytest.raises(ArgumentError, match="pairs: expected one of"):
        bvkeras.TextRegressor(tiny_bert, pairs="both")
