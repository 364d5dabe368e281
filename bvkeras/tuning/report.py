"""The report of a search, to be read by people and by programs."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bvkeras import fileio
from bvkeras.evaluation.metric_direction import diverged_score
from bvkeras.tuning.finalist import Finalist
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.result import TrialResult, best_results

_SHOWN_TRIALS = 10
_FULL_SEARCH = 100
# Finalists that are no trials.
_NAMES = {
    "default": "the task's default settings",
    "paper": "the paper's settings",
}


def write_report(
    directory: str | os.PathLike,
    *,
    title: str,
    metric: str,
    what: str,
    results: Sequence[TrialResult],
    held_out_rows: int,
    training_rows: int,
    best_files: Mapping[str, pathlib.Path],
    scores: Mapping[str, Mapping[str, float]],
    seconds: float,
    settings: Mapping[str, Any],
    plots: Mapping[str, str],
    finalists: Sequence[Finalist] = (),
) -> pathlib.Path:
    """Writes `report.md` and `report.json`, atomically.

    Args:
        directory: str or path. The search's.
        title: str. The task's name in tables.
        metric: str. What the score is.
        what: str. What was searched: `"head"` or `"encoder"`.
        results: sequence of TrialResult, at least one with a score.
        held_out_rows: int. Training rows that chose.
        training_rows: int. Training rows, those included.
        best_files: mapping of name to path, below `directory`.
        scores: mapping of split to metrics of what was trained with the best
            settings on all training rows.
        seconds: float. Time of the search.
        settings: mapping. The space and the oracle, as JSON.
        plots: mapping of title to file name in `plots/`.
        finalists: sequence of Finalist with their scores, the best first.
            Defaults to none: the highest trial has won.

    Returns:
        Path of `report.md`.
    """
    directory = pathlib.Path(directory)
    ranked = best_results(results, metric)
    files = {
        "all trials": "trials.csv",
        **{title: f"plots/{name}" for title, name in plots.items()},
        **{
            name: path.relative_to(directory).as_posix()
            for name, path in best_files.items()
        },
    }
    failed = len(results) - len(ranked)
    lines = [
        f"# {title}: search for the best {what}",
        "",
        f"{len(results)} trials in {seconds:,.0f} seconds"
        + (f", {failed} of which failed." if failed else ".")
        + _cost_of_more(len(results), seconds),
        "",
        f"**How the winner was chosen.** By {metric} on {held_out_rows:,} of "
        f"the {training_rows:,} training rows, held out of every trial and "
        f"the same for all. The highest of {len(ranked)} scores is more than "
        "to expect on new rows"
        + (
            "; an encoder that was fine-tuned on these rows makes them easier "
            "still."
            if what == "head"
            else "."
        )
        + _how_final(finalists),
        "",
        *_winner_lines(ranked[0], finalists, metric),
        *_score_lines(what, scores),
        "",
        *_finalist_lines(finalists, metric),
        f"## The best {min(_SHOWN_TRIALS, len(ranked))} trials",
        "",
        *_table(ranked[:_SHOWN_TRIALS], metric),
        "",
        "## Files",
        "",
        *(f"- {name}: [{path}]({path})" for name, path in files.items()),
        "",
        "## Space",
        "",
        "```json",
        json.dumps(settings, indent=2),
        "```",
        "",
    ]
    record = {
        "task": title,
        "searched": what,
        "metric": metric,
        "trials": len(results),
        "failed": failed,
        "seconds": seconds,
        "held_out_rows": held_out_rows,
        "training_rows": training_rows,
        "best": {
            "trial": ranked[0].trial,
            "held_out_score": ranked[0].score,
            "settings": ranked[0].settings,
        },
        "finalists": [
            {
                "name": one.name,
                "mean": one.mean,
                "deviation": one.deviation,
                "scores": list(one.scores),
                "settings": one.settings.as_json(),
            }
            for one in finalists
        ],
        "scores": scores,
        "space": settings,
        "files": files,
    }
    fileio.write_json(directory / "report.json", record)
    fileio.write_text(directory / "report.md", "\n".join(lines))
    return directory / "report.md"


def _cost_of_more(trials, seconds):
    """What a hundred trials would take, after fewer."""
    if trials >= _FULL_SEARCH:
        return ""
    minutes = seconds / trials * _FULL_SEARCH / 60
    return (
        f" At {seconds / trials:,.1f} seconds a trial, {_FULL_SEARCH} would "
        f"take about {minutes:,.0f} minutes."
    )


def _how_final(finalists):
    """What is said of the final round, if there was one."""
    if not finalists:
        return ""
    count = sum(one.name not in _NAMES for one in finalists)
    times = len(finalists[0].scores)
    return (
        f" So the best {count} trials and the settings one has without a "
        f"search went into a final round: each was trained {times} times, "
        "with other seeds and, each time, without another part of the "
        "training rows, by which it was scored: while there are enough, rows "
        "that chose no trial. Seeds and rows are the same for all. The "
        "highest mean won."
    )


def _winner_lines(best, finalists, metric):
    if not finalists:
        return [f"Trial {best.trial} won: {metric} {best.score:.4f} held out."]
    first = finalists[0]
    name = _named(first)
    return [
        f"{name[0].upper()}{name[1:]} won: mean {metric} {first.mean:.4f}. "
        f"The highest trial in front of that round was {best.trial}: "
        f"{best.score:.4f}."
    ]


def _finalist_lines(finalists, metric):
    if not finalists:
        return []
    names = [field.name for field in dataclasses.fields(HeadSettings)]
    names = names[: names.index("seed")]
    rows = [
        [
            _named(one),
            _score_text(metric, one.mean),
            f"{one.deviation:.4f}",
            " ".join(_score_text(metric, score) for score in one.scores),
            *(_short(getattr(one.settings, name)) for name in names),
        ]
        for one in finalists
    ]
    header = [
        "finalist",
        f"mean {metric}",
        "standard deviation",
        "each training",
        *names,
    ]
    return ["## The final round", "", *_cells(header, rows), ""]


def _named(finalist):
    return _NAMES.get(finalist.name, f"trial {finalist.name}")


def _score_lines(what, scores):
    lines = []
    for split, metrics in scores.items():
        text = ", ".join(f"{n} {value:.4f}" for n, value in metrics.items())
        lines += [
            "",
            f"**On {split.replace('_', ' ')}**, which the search never saw and "
            f"which was scored once, by the {what} trained with these "
            f"settings on all training rows: {text}.",
        ]
    return lines


def _table(results, metric):
    names = dict.fromkeys(name for r in results for name in r.settings)
    header = ["trial", metric, *names]
    rows = [
        [
            result.trial,
            _score_text(metric, result.score),
            *(_short(result.settings.get(name)) for name in names),
        ]
        for result in results
    ]
    return _cells(header, rows)


def _cells(header, rows):
    return [
        "| " + " | ".join(cells) + " |"
        for cells in (header, ["---"] * len(header), *rows)
    ]


def _score_text(metric, score):
    return "diverged" if score == diverged_score(metric) else f"{score:.4f}"


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
