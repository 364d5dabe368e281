"""How much each hidden state says in the heads' outputs, as a picture."""

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
    figure = new_figure(8, 4)
    axes = figure.subplots()
    rows = []
    for number, (name, values) in enumerate(
        comparison.layer_importance.items()
    ):
        total = sum(values)
        shares = [value / total if total else 0.0 for value in values]
        axes.plot(range(len(values)), shares, label=name, **line_style(number))
        rows += [
            [name, layer, value, share]
            for layer, (value, share) in enumerate(
                zip(values, shares, strict=True)
            )
        ]
    axes.set_xlabel("hidden state (0: output of the embeddings)")
    axes.set_ylabel("share of the importance")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return Picture(
        name="layers",
        title="Importance of each hidden state in the heads' outputs",
        figure=figure,
        columns=["system", "hidden state", "importance", "share"],
        rows=rows,
    )
