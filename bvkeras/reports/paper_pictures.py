"""Pictures of the paper's tables: scores, and layers, task by task."""

import math

import numpy as np

from bvkeras import tasks
from bvkeras.evaluation.comparison import HEAD
from bvkeras.reports.figures import COLOURS, new_figure
from bvkeras.reports.layers import layer_figure, shares_of
from bvkeras.reports.paper_tables import PaperTables, Variant
from bvkeras.reports.picture import Picture
from bvkeras.reports.run_group import KINDS, RunGroup

# More of them than colours: a seventh kind is not like the first.
_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo", "--")


def paper_pictures(tables: PaperTables) -> list[Picture]:
    """The pictures of each variant.

    Args:
        tables: PaperTables.

    Returns:
        list of Picture.
    """
    pictures = []
    for number, variant in enumerate(tables.variants):
        ending = f"_{number + 1}" if len(tables.variants) > 1 else ""
        pictures.append(_scores(variant, ending))
        layers = _layers(variant, ending)
        if layers is not None:
            pictures.append(layers)
    return pictures


def _scores(variant: Variant, ending: str) -> Picture:
    """Bars of every kind for each task, with the deviation over seeds."""
    names = list(variant.groups)
    figure = new_figure(max(7, 2 + 1.6 * len(names)), 4.5)
    axes = figure.subplots()
    kinds = list(variant.scores)
    width = 0.8 / len(kinds)
    rows = []
    for number, kind in enumerate(kinds):
        scores = variant.scores[kind]
        shown = [name for name in names if name in scores]
        axes.bar(
            [names.index(name) + width * (number + 0.5) for name in shown],
            [scores[name].mean for name in shown],
            width * 0.92,
            # Of one seed there is none, and NaN draws none.
            yerr=[
                math.nan
                if scores[name].deviation is None
                else scores[name].deviation
                for name in shown
            ],
            label=KINDS[kind],
            color=COLOURS[number % len(COLOURS)],
            hatch=_HATCHES[number % len(_HATCHES)],
            edgecolor="white",
            error_kw={"capsize": 2, "elinewidth": 1},
        )
        rows += [
            [KINDS[kind], name, seed, score]
            for name in shown
            for seed, score in scores[name].by_seed.items()
        ]
    axes.set_xticks(
        [place + 0.4 for place in range(len(names))],
        [
            f"{tasks.get(name).title}\n{group.first.main_metric}"
            for name, group in variant.groups.items()
        ],
    )
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("score, ± standard deviation over seeds")
    axes.set_title(variant.name, fontsize="medium")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return Picture(
        name=f"scores{ending}",
        title=f"Scores of each task: {variant.name}",
        figure=figure,
        columns=["system", "task", "seed", "score"],
        rows=rows,
    )


def _layers(variant: Variant, ending: str) -> Picture | None:
    """Share of each hidden state in the pooled heads, averaged over seeds."""
    shares = {
        name: found
        for name, group in variant.groups.items()
        if (found := _layer_shares(group))
    }
    if not shares:
        return None
    means = {
        tasks.get(name).title: np.mean(list(by_seed.values()), axis=0)
        for name, by_seed in shares.items()
    }
    figure = layer_figure(means, legend_columns=5)
    figure.axes[0].set_title(
        f"Pooled heads on {variant.name}", fontsize="medium"
    )
    return Picture(
        name=f"layers{ending}",
        title=(
            "Importance of each hidden state in the pooled heads, mean over "
            f"seeds: {variant.name}"
        ),
        figure=figure,
        columns=["task", "seed", "hidden state", "share"],
        rows=[
            [name, seed, layer, share]
            for name, by_seed in shares.items()
            for seed, values in by_seed.items()
            for layer, share in enumerate(values)
        ],
    )


def _layer_shares(group: RunGroup) -> dict[int, list[float]]:
    shares = {}
    for seed, system in group.systems(HEAD).items():
        values = group.runs[seed].layer_importance.get(system.name)
        if values and sum(values):
            shares[seed] = shares_of(values)
    return shares
