"""Three plots of a search; drawn by the Agg canvas, never through pyplot."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from bvkeras.evaluation.metric_direction import (
    LOWER_IS_BETTER,
    diverged_score,
    goodness,
)
from bvkeras.fileio import atomic_path
from bvkeras.tuning.result import TrialResult

_DOTS_PER_INCH = 150
_BLUE, _ORANGE = "#0072B2", "#E69F00"
_PANELS_A_ROW = 3
# From low to high in both sight and print.
_SCORES = LinearSegmentedColormap.from_list(
    "scores", ["#D9D9D9", "#56B4E9", "#0072B2", "#00263D"]
)


def score_figure(results: Sequence[TrialResult], metric: str) -> Figure:
    """Draws the score of each trial, and the best so far.

    Args:
        results: sequence of TrialResult, at least one with a score.
        metric: str. Name of the score.
    """
    scored = _scored(results, metric)
    figure = _figure(8, 4)
    axes = figure.subplots()
    numbers = [int(result.trial) for result in scored]
    scores = [result.score for result in scored]
    best = np.minimum if metric in LOWER_IS_BETTER else np.maximum
    axes.plot(numbers, scores, "o", color=_BLUE, markersize=4, label="trial")
    axes.step(
        numbers,
        best.accumulate(scores),
        where="post",
        color=_ORANGE,
        label="best so far",
    )
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{metric}, held-out rows")
    axes.legend(frameon=False)
    return figure


def parameter_figure(results: Sequence[TrialResult], metric: str) -> Figure:
    """Draws the score against each setting that was searched.

    Args:
        results: sequence of TrialResult, at least one with a score.
        metric: str. Name of the score.
    """
    scored = _scored(results, metric)
    names = _searched(scored)
    columns = min(_PANELS_A_ROW, max(1, len(names)))
    rows = max(1, math.ceil(len(names) / columns))
    figure = _figure(3.6 * columns, 0.4 + 2.9 * rows)
    panels = list(
        figure.subplots(rows, columns, sharey=True, squeeze=False).flat
    )
    for axes, name in zip(panels, names, strict=False):
        axis = _Axis(name, [result.settings.get(name) for result in scored])
        axes.plot(
            axis.places,
            [r.score for r in scored],
            "o",
            color=_BLUE,
            markersize=3,
        )
        axes.set_xlabel(axis.label)
        if axis.ticks:
            axes.set_xticks(*axis.ticks)
        axes.set_ylabel(metric)
    for axes in panels[len(names) :]:
        axes.remove()
    return figure


def parallel_figure(results: Sequence[TrialResult], metric: str) -> Figure:
    """Draws a line for each trial through all its settings to its score.

    The darker, the better the score.

    Args:
        results: sequence of TrialResult, at least one with a score.
        metric: str. Name of the score.
    """
    scored = sorted(
        _scored(results, metric), key=lambda one: goodness(metric, one.score)
    )
    axes_ = [
        _Axis(name, [result.settings.get(name) for result in scored])
        for name in _searched(scored)
    ]
    axes_.append(_Axis(metric, [result.score for result in scored]))
    figure = _figure(1.6 * len(axes_) + 1, 4.5)
    axes = figure.subplots()
    heights = np.array([axis.heights for axis in axes_])
    for number, height in enumerate(heights.T):
        share = number / max(1, len(scored) - 1)
        axes.plot(
            range(len(axes_)),
            height,
            color=_SCORES(share),
            linewidth=0.7 + 1.3 * share,
        )
    for place, axis in enumerate(axes_):
        axes.axvline(place, color="#444444", linewidth=0.8)
        for height, text in axis.marks:
            axes.text(
                place,
                height,
                f" {text}",
                fontsize="x-small",
                va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
    axes.set_xticks(range(len(axes_)), [axis.label for axis in axes_])
    axes.tick_params(axis="x", rotation=20)
    axes.set_yticks([])
    axes.set_frame_on(False)
    return figure


def write_plots(
    results: Sequence[TrialResult], metric: str, directory: str | os.PathLike
) -> dict[str, str]:
    """Writes the three figures as PNG files, atomically.

    Args:
        results: sequence of TrialResult.
        metric: str. Name of the score.
        directory: str or path. Where they go.

    Returns:
        dict of title to file name; empty if no trial has a score.

    Raises:
        OSError: a file cannot be written.
    """
    if not _scored(results, metric):
        return {}
    files = {}
    for title, name, draw in _FIGURES:
        files[title] = f"{name}.png"
        with atomic_path(os.path.join(directory, files[title])) as temporary:
            draw(results, metric).savefig(
                temporary, format="png", dpi=_DOTS_PER_INCH
            )
    return files


_FIGURES: tuple[tuple[str, str, Callable[..., Figure]], ...] = (
    ("score against trial", "score_by_trial", score_figure),
    ("score against settings", "score_by_setting", parameter_figure),
    ("parallel coordinates", "parallel_coordinates", parallel_figure),
)


class _Axis:
    """A setting as an axis: places along it, and what is written there."""

    def __init__(self, name: str, values: Sequence[Any]):
        self.label, self.ticks = name, None
        numeric = all(isinstance(v, (int, float)) for v in values)
        # Few values, most of them more than once: each gets a tick.
        if numeric and len(set(values)) > min(8, len(values) // 2):
            self.places = np.array(values, float)
            low, high = self.places.min(), self.places.max()
            if low > 0 and high / low > 50:
                self.places = np.log10(self.places)
                self.label += " (log10)"
            ends = {self.places.min(): low, self.places.max(): high}
            texts = {place: f"{value:.3g}" for place, value in ends.items()}
        else:
            kinds = sorted(set(values), key=lambda v: (str(type(v)), v))
            kinds = sorted(set(values)) if numeric else kinds
            self.places = np.array([kinds.index(v) for v in values], float)
            texts = {
                float(place): f"{kind:g}" if numeric else str(kind)
                for place, kind in enumerate(kinds)
            }
            self.ticks = (list(texts), list(texts.values()))
        span = max(texts) - min(texts) or 1.0
        self.heights = (self.places - min(texts)) / span
        self.marks = [
            ((place - min(texts)) / span, text) for place, text in texts.items()
        ]


def _searched(results):
    """Settings of which there is more than one value."""
    names = dict.fromkeys(name for r in results for name in r.settings)
    return [
        name
        for name in names
        if len({str(result.settings.get(name)) for result in results}) > 1
        and not name.startswith("tuner/")
    ]


def _scored(results, metric):
    """Trials whose score can be drawn: that of a diverged one is no number."""
    return [
        result
        for result in results
        if result.score not in (None, diverged_score(metric))
    ]


def _figure(width: float, height: float) -> Figure:
    figure = Figure(
        figsize=(width, height), dpi=_DOTS_PER_INCH, layout="constrained"
    )
    FigureCanvasAgg(figure)
    return figure
