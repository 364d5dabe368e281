import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from bvkeras.errors import ArgumentError
from bvkeras.reports.plots import (
    comparison_figure,
    training_figure,
)


def shown_tick_labels(axes):
    (left, right), (bottom, top) = map(
        sorted, (axes.get_xlim(), axes.get_ylim())
    )
    labels = [
        label
        for label in axes.get_xticklabels()
        if left <= label.get_position()[0] <= right
    ]
    return labels + [
        label
        for label in axes.get_yticklabels()
        if bottom <= label.get_position()[1] <= top and label.get_visible()
    ]


def assert_text_fits(figure):
    """No text overlaps another or leaves the figure, no label its axes."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = []
    for axes in figure.axes:
        for text in axes.texts:
            box = text.get_window_extent(renderer)
            assert axes.bbox.x0 <= box.x0 < box.x1 <= axes.bbox.x1
            boxes.append(box)
        others = [axes.title, axes.xaxis.label, *shown_tick_labels(axes)]
        boxes += [text.get_window_extent(renderer) for text in others]
    for box in boxes:
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.shrunk(0.95, 0.95).overlaps(other)


def test_bars_are_the_systems(make_comparison):
    figure = comparison_figure(
        make_comparison(baseline={"validation": {"accuracy": 0.5}})
    )
    score_axes, count_axes = figure.axes
    scores = [bar.get_width() for bar in score_axes.patches]
    counts = [bar.get_width() for bar in count_axes.patches]
    assert scores == [0.8431, 0.8582]
    assert counts == [22_713_986, 34_834]
    assert count_axes.get_xscale() == "log"
    labels = [text.get_text() for text in score_axes.texts]
    assert labels == ["0.843", "0.858"]
    assert [text.get_text() for text in count_axes.texts] == [
        "22,713,986",
        "34,834",
    ]
    names = [text.get_text() for text in score_axes.get_yticklabels()]
    assert names == ["fine-tuned encoder", "pooled head on it"]
    assert "accuracy on validation (1,530 rows)" in score_axes.get_xlabel()
    assert "0.500" in figure.legends[0].get_texts()[0].get_text()


@pytest.mark.parametrize("scores", [(0.03, 0.21), (-0.05, 0.0), (0.0, 0.0)])
def test_negative_and_zero_scores_fit(make_comparison, scores):
    comparison = make_comparison(
        [{"validation": {"matthews": score}} for score in scores],
        main_metric="matthews",
    )
    figure = comparison_figure(comparison)
    low, high = figure.axes[0].get_xlim()
    assert low <= min(scores)
    assert high > max(scores)
    assert "standard error" not in figure.axes[0].get_xlabel()
    assert_text_fits(figure)


def test_comparison_text_does_not_overlap(make_comparison):
    assert_text_fits(comparison_figure(make_comparison()))


def test_training_panels(make_comparison):
    figure = training_figure(make_comparison().histories)
    steps_axes, epochs_axes = figure.axes
    assert steps_axes.get_title() == "fine-tuned encoder"
    assert steps_axes.get_xlabel() == "step"
    assert epochs_axes.get_xlabel() == "epoch"
    raw, mean = steps_axes.lines
    np.testing.assert_allclose(raw.get_ydata(), 1 / (1 + np.arange(60)))
    # A window of three: the ends average what is there.
    np.testing.assert_allclose(mean.get_ydata()[0], (1 + 1 / 2) / 2)
    np.testing.assert_allclose(mean.get_ydata()[1], (1 + 1 / 2 + 1 / 3) / 3)
    (line,) = epochs_axes.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 0.6], [2, 0.5]])
    assert_text_fits(figure)


def test_legend_counts_steps_not_records():
    records = [{"step": 20 * (1 + i), "loss": 1.0} for i in range(60)]
    (axes,) = training_figure({"head": records}).axes
    labels = [line.get_label() for line in axes.lines]
    assert labels == ["mean of 20 steps", "mean of 60 steps"]


def test_three_systems_leave_no_empty_panel():
    records = [{"step": 1, "loss": 1.0}]
    figure = training_figure({"a": records, "b": records, "c": records})
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "c"]


def test_losses_that_are_not_finite_are_left_out():
    records = [
        {"step": 1, "loss": 2.0},
        {"step": 2, "loss": None},
        {"step": 3, "loss": float("inf")},
    ]
    figure = training_figure({"some": records, "none": records[1:]})
    some, none = figure.axes
    np.testing.assert_array_equal(some.lines[0].get_xydata(), [[1, 2.0]])
    assert [text.get_text() for text in none.texts] == ["no finite loss"]


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ({}, "histories: received none"),
        (
            {"head": [{"step": 1, "loss": 1.0}, {"step": 2}]},
            "histories of 'head': record 1 has the keys step; expected step",
        ),
    ],
)
def test_wrong_histories(histories, message):
    with pytest.raises(ArgumentError, match=message):
        training_figure(histories)
