"""What the figures of a report have in common.

Figures are drawn by the Agg canvas and never through pyplot, so nothing here
needs a display or touches another program's figures.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bvkeras.evaluation.comparison import SystemResult

# Okabe and Ito's palette: told apart with any colour vision. Markers and
# dashes tell lines apart without colour.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
# One more of them than colours: a seventh line is not like the first.
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, `width` by `height` inches, with a canvas."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def line_style(number: int) -> dict[str, Any]:
    """Colour, marker and dashes of a figure's line `number`, from 0.

    Later lines are drawn on top: where they coincide with earlier ones, those
    are wider and their marks larger, and marks are hollow, so all are seen.
    """
    later = number % len(MARKERS)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[later],
        "linestyle": DASHES[number % len(DASHES)],
        "markersize": 15 - 2 * later,
        "markerfacecolor": "none",
        "markeredgewidth": 1.6,
        "linewidth": 3.4 - 0.4 * later,
    }


def style_numbers(systems: Sequence[SystemResult]) -> list[int]:
    """Which `line_style` each system has: those of one kind have the same.

    Args:
        systems: sequence of SystemResult.
    """
    kinds: dict[str, int] = {}
    return [kinds.setdefault(system.kind, len(kinds)) for system in systems]
