"""The final round of a search: its best trials against known settings.

The highest of many scores is partly luck, and the rows that gave it cannot
say how much. So the best few are trained again, with other seeds and scored
on other training rows, beside the settings one would have without a search.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from bvkeras import fileio
from bvkeras.evaluation.metric_direction import goodness
from bvkeras.progress import Bar, progress_bar
from bvkeras.schema import COUNT, NUMBER, OBJECT, list_of, record_of
from bvkeras.tasks.head_config import HeadConfig
from bvkeras.training.target_scale import target_settings
from bvkeras.tuning.finalist import Finalist
from bvkeras.tuning.head_hypermodel import HeadHyperModel
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.wave import Wave, split_in_waves

_RECORD_FILE = "scores.json"
_SCHEMA = list_of(record_of(part=COUNT, score=NUMBER, settings=OBJECT))
# After the seeds of the default space.
_FIRST_SEED = 10_000


def known_settings(
    own: HeadConfig, paper: HeadConfig
) -> list[tuple[str, HeadSettings]]:
    """The settings that are always in the final round, with their names.

    Args:
        own: HeadConfig. The task's, for the encoder at hand.
        paper: HeadConfig. The paper's; left out where they are the same.
    """
    known = [("default", HeadSettings.of(own))]
    if paper != own:
        known.append(("paper", HeadSettings.of(paper)))
    return known


def choose_finalists(
    known: Sequence[tuple[str, HeadSettings]],
    ranked: Sequence[tuple[str, HeadSettings]],
    count: int,
) -> list[Finalist]:
    """Those known and the best trials, no settings twice but for the seed.

    Args:
        known: sequence of pairs of name and HeadSettings, all of which take
            part.
        ranked: sequence of such pairs of trials, the best first.
        count: int. Trials that take part, where there are so many.
    """
    chosen: dict[HeadSettings, Finalist] = {}
    for name, own in [*known, *ranked]:
        if len(chosen) == len(known) + count:
            break
        key = dataclasses.replace(own, seed=0)
        chosen.setdefault(key, Finalist(name, own))
    return list(chosen.values())


def run_final_round(
    hypermodel: HeadHyperModel,
    finalists: Sequence[Finalist],
    trainings: int,
    directory: pathlib.Path,
) -> list[Finalist]:
    """Trains every finalist several times and ranks them by their means.

    Each time with a seed no trial had and on another part of the training
    rows: those scored by are, as long as there are enough, disjoint from
    each other and from the rows that chose the trials. Seed and rows are the
    same for all finalists, which are trained side by side. Killed at any
    moment, the same call goes on after the last pass; more finalists or
    trainings go on with those there are.

    Args:
        hypermodel: HeadHyperModel of the search.
        finalists: sequence of Finalist, at least one.
        trainings: int. How often each is trained.
        directory: path. Gets the scores, and the state of what is under way.

    Returns:
        list of Finalist with their scores, the best first; of equals, the
        one given first.

    Raises:
        CacheError: a shard of the cache is damaged.
    """
    fileio.remove_leftovers(directory)
    path = directory / _RECORD_FILE
    scores = {}
    if path.exists():
        scores = _by_key(fileio.read_json(path, _SCHEMA))
    jobs = [
        [
            dataclasses.replace(one.settings, seed=_FIRST_SEED + part)
            for one in finalists
        ]
        for part in range(trainings)
    ]
    missing = [
        [own for own in row if _key(part, own.as_json()) not in scores]
        for part, row in enumerate(jobs)
    ]
    total = trainings * len(finalists)
    done = total - sum(map(len, missing))
    with progress_bar("final round", total, "heads", done=done) as bar:
        for part, settings in enumerate(missing):
            for places in split_in_waves(settings):
                own = [settings[place] for place in places]
                wave = _wave(hypermodel, part, own, directory, bar)
                results = zip(own, wave.run(), strict=True)
                scores |= _by_key(
                    {
                        "part": part,
                        "score": result[hypermodel.objective.name],
                        "settings": one.as_json(),
                    }
                    for one, result in results
                )
                fileio.write_json(path, list(scores.values()))
                wave.forget()
                bar.advance(len(places))
    for left in directory.glob("wave-*"):
        left.unlink()
    scored = [
        dataclasses.replace(
            one,
            scores=tuple(
                scores[_key(part, row[place].as_json())]["score"]
                for part, row in enumerate(jobs)
            ),
        )
        for place, one in enumerate(finalists)
    ]
    metric = hypermodel.task.metrics[0]
    return sorted(scored, key=lambda one: -goodness(metric, one.mean))


def _wave(
    hypermodel: HeadHyperModel,
    part: int,
    settings: list[HeadSettings],
    directory: pathlib.Path,
    bar: Bar,
) -> Wave:
    """A wave whose state is found again by what it trains."""
    identity = [part, *(own.as_json() for own in settings)]
    identity.append(target_settings(hypermodel.task))
    digest = fileio.value_digest(identity)
    return Wave(
        hypermodel.on_part(part),
        settings,
        directory / f"wave-{digest[:16]}.safetensors",
        lambda note: bar.advance(0, note),
    )


def _by_key(entries: Iterable[dict]) -> dict[str, dict]:
    return {_key(one["part"], one["settings"]): one for one in entries}


def _key(part: int, settings: dict) -> str:
    return fileio.value_digest([part, settings])
