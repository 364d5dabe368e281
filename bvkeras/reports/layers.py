"""How much each hidden state says in the heads' outputs, as a picture."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bvkeras.evaluation.comparison import Comparison
from bvkeras.reports.figures import line_style, new_figure
from bvkeras.reports.picture import Picture


def layer_picture(comparison: Comparison) -> Picture | None:
    """The importance of each hidden state in each head, as shares.

    Args:
        comparison: Comparison.

    Returns:
        Picture. Its table has the values that the shares are of, too. None if
        the run has no heads whose layers were measured.
    """
    if not comparison.layer_importance:
        return None
    lines = {
        name: shares_of(values)
        for name, values in comparison.layer_importance.items()
    }
    return Picture(
        name="layers",
        title="Importance of each hidden state in the heads' outputs",
        figure=layer_figure(lines),
        columns=["system", "hidden state", "importance", "share"],
        rows=[
            [name, layer, value, share]
            for name, values in comparison.layer_importance.items()
            for layer, (value, share) in enumerate(
                zip(values, lines[name], strict=True)
            )
        ],
    )


def layer_figure(
    lines: Mapping[str, Sequence[float]], legend_columns: int = 2
) -> Figure:
    """Draws shares of hidden states, one line for each name.

    Args:
        lines: mapping of name to one share a hidden state.
        legend_columns: int. Names side by side in the legend.

    Returns:
        `Figure` with one axes.
    """
    figure = new_figure(8, 4)
    axes = figure.subplots()
    for number, (name, shares) in enumerate(lines.items()):
        axes.plot(range(len(shares)), shares, label=name, **line_style(number))
    axes.set_xlabel("hidden state (0: output of the embeddings)")
    axes.set_ylabel("share of the importance")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.legend(
        loc="outside upper center", ncols=legend_columns, frameon=False
    )
    return figure


def shares_of(values: Sequence[float]) -> list[float]:
    """Each value's share of their sum; zeros where that is zero."""
    total = sum(values)
    return [value / total if total else 0.0 for value in values]
