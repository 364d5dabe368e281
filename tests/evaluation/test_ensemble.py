import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.ensemble import (
    RULES,
    combine_predictions,
    evaluate_ensemble,
)
from bvkeras.evaluation.kinds import kind_of
from bvkeras.evaluation.predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)

LABELS = np.array([0, 1, 2, 1])


def predictions(scores, label_names=("a", "b", "c"), ids="wxyz", labels=LABELS):
    scores = np.array(scores, float)
    found = scores if label_names is None else scores.argmax(1)
    labels = np.array(labels, int if label_names else float)
    return Predictions(np.array(list(ids)), found, labels, scores, label_names)


FIRST = predictions(
    [[0.6, 0.4, 0.0], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.0, 0.5, 0.5]]
)
SECOND = predictions(
    [[0.1, 0.5, 0.4], [0.2, 0.8, 0.0], [0.2, 0.3, 0.5], [0.4, 0.3, 0.3]]
)


def test_mean():
    both = combine_predictions(FIRST, SECOND, "mean")
    np.testing.assert_allclose(both.scores, (FIRST.scores + SECOND.scores) / 2)
    np.testing.assert_array_equal(both.predictions, [1, 1, 2, 1])
    np.testing.assert_array_equal(both.labels, LABELS)


def test_maximum():
    both = combine_predictions(FIRST, SECOND, "maximum")
    # .6, .5, .4 of 1.5; .2, .8, .7 of 1.7; …
    np.testing.assert_allclose(both.scores[0], [0.4, 1 / 3, 4 / 15])
    np.testing.assert_allclose(both.scores.sum(1), 1)
    np.testing.assert_array_equal(both.predictions, [0, 1, 2, 1])


def test_two_classes_have_one_rule():
    random = np.random.default_rng(0)
    first, second = (
        predictions(np.stack([p, 1 - p], axis=1), ("a", "b"))
        for p in random.random((2, len(LABELS)))
    )
    mean, maximum = (combine_predictions(first, second, r) for r in RULES)
    np.testing.assert_array_equal(mean.predictions, maximum.predictions)
    found = {
        spec.name: kind_of(spec.kind).ensemble_rules(spec)
        for spec in map(tasks.get, tasks.names())
    }
    assert found.pop("mnli") == found.pop("squad_v2") == RULES
    assert set(found.values()) == {("mean",)}


def test_regression_takes_the_mean():
    first, second = (
        predictions([0, 1, 2, 3], None),
        predictions([1, 1, 4, 0], None),
    )
    both = combine_predictions(first, second, "mean")
    np.testing.assert_array_equal(both.predictions, [0.5, 1, 3, 1.5])
    with pytest.raises(ArgumentError, match="rule: expected mean for a regr"):
        combine_predictions(first, second, "maximum")


@pytest.mark.parametrize(
    ("second", "rule", "message"),
    [
        (SECOND, "median", "rule: expected one of mean, maximum, got 'median'"),
        (predictions(SECOND.scores, ids="wxzy"), "mean", "same examples"),
        (predictions(SECOND.scores, ("a", "c", "b")), "mean", "same examples"),
        (predictions(SECOND.scores, labels=[0, 1, 2, 0]), "mean", "same exam"),
    ],
)
def test_what_does_not_fit_is_refused(second, rule, message):
    with pytest.raises(ArgumentError, match=message):
        combine_predictions(FIRST, second, rule)


def test_files_are_scored_and_written(tmp_path):
    spec = tasks.get("mnli")
    paths = [tmp_path / "first.tsv", tmp_path / "second.tsv"]
    for path, one in zip(paths, (FIRST, SECOND), strict=True):
        write_predictions(
            path,
            one.ids,
            one.predictions,
            one.labels,
            one.scores,
            spec.label_names,
        )
    result = evaluate_ensemble(spec, *paths, tmp_path / "both.tsv", "mean")
    assert result.metrics == {"accuracy": 0.75}
    assert result.predictions_path == tmp_path / "both.tsv"
    written = read_predictions(tmp_path / "both.tsv")
    np.testing.assert_array_equal(written.predictions, [1, 1, 2, 1])
    assert list(written.ids) == list("wxyz")
