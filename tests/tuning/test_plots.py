"""What the plots of a search show."""

import numpy as np
import pytest

from bvkeras.tuning.plots import (
    parallel_figure,
    parameter_figure,
    score_figure,
    write_plots,
)
from bvkeras.tuning.result import TrialResult, best_results


def _results(count=12):
    rates = np.logspace(-5, -2, count)
    return [
        TrialResult(
            trial=f"{number:02d}",
            score=None if number == 3 else 0.5 + 0.01 * (number % 7),
            loss=0.3,
            epochs=3.0,
            settings={
                "units": 8 * 2 ** (number % 3),
                "learning_rate": float(rates[number]),
                "pooler": ("linear", "scalar_mix")[number % 2],
                "epochs": 3,
            },
        )
        for number in range(count)
    ]


def test_trials_without_a_score_are_left_out():
    points, line = score_figure(_results(), "accuracy").axes[0].lines
    assert list(points.get_xdata()) == [0, 1, 2, *range(4, 12)]
    assert max(line.get_ydata()) == pytest.approx(0.56)
    assert list(line.get_ydata()) == sorted(line.get_ydata())


def test_a_panel_for_each_setting_that_was_searched():
    panels = parameter_figure(_results(), "accuracy").axes
    labels = [axes.get_xlabel() for axes in panels]
    assert labels == ["units", "learning_rate (log10)", "pooler"]
    ticks = [[t.get_text() for t in axes.get_xticklabels()] for axes in panels]
    assert ticks[0] == ["8", "16", "32"]
    assert ticks[2] == ["linear", "scalar_mix"]
    places = panels[1].lines[0].get_xdata()
    assert (min(places), max(places)) == (pytest.approx(-5), pytest.approx(-2))


def test_a_line_for_each_trial_through_all_axes():
    (axes,) = parallel_figure(_results(), "accuracy").axes
    lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(lines) == 11
    heights = np.array([line.get_ydata() for line in lines])
    assert heights.min() == 0
    assert heights.max() == 1
    # The best is drawn last, over the others.
    assert heights[-1, -1] == 1
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels[-1] == "accuracy"


def test_one_trial_and_none(tmp_path):
    files = write_plots(_results(1), "accuracy", tmp_path)
    assert sorted(files.values()) == sorted(
        path.name for path in tmp_path.iterdir()
    )
    failed = [result for result in _results() if result.score is None]
    assert write_plots(failed, "accuracy", tmp_path / "none") == {}
    assert not (tmp_path / "none").exists()


def test_the_best_come_first_and_of_equals_the_earlier():
    ranked = best_results(_results(), "accuracy")
    assert [result.trial for result in ranked[:2]] == ["06", "05"]
    assert len(ranked) == 11
