"""Finds the splits of SQuAD: train, its articles held out, and validation."""

import pathlib

import numpy as np

from bvkeras.data import squad_files, squad_tfds
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.span_question import SpanQuestion
from bvkeras.errors import DataError
from bvkeras.tasks.spec import TaskSpec

_HELD_OUT_SEED = 2018
_HELD_OUT_SHARE = 0.15
_MOST_HELD_OUT = 2000


def read_squad(
    spec: TaskSpec,
    split: str,
    data_dir: pathlib.Path | None,
    download: bool,
    skip_bad: bool,
) -> SpanExamples:
    """Reads one split of SQuAD.

    `spec.threshold_split` is whole articles of the training file, always the
    same ones; `"train"` is the others.

    Args:
        spec: `TaskSpec`. A span task.
        split: str. One of `spec.splits`.
        data_dir: path or None. A folder with official files in
            `squad_v2/`, `squad/` or by themselves, or with a data set that
            `tensorflow_datasets` prepared; None takes the latter's own.
        download: bool. Whether `tensorflow_datasets` may download.
        skip_bad: bool. Whether malformed questions are left out and counted.

    Raises:
        DataError: the data is not there or is malformed.
    """
    # Of spans, which this reader brings.
    assert spec.windows is not None
    file_split = "train" if split == spec.threshold_split else split
    questions, left_out, source = _read(
        file_split, data_dir, download, skip_bad
    )
    if file_split == "train" and spec.threshold_split:
        held_out = held_out_articles(questions, source)
        is_held_out = split == spec.threshold_split
        questions = tuple(
            q for q in questions if (q.article in held_out) == is_held_out
        )
    return SpanExamples(
        spec.name,
        split,
        questions,
        spec.windows,
        source,
        len(left_out),
        left_out,
    )


def held_out_articles(
    questions: tuple[SpanQuestion, ...], source: str
) -> frozenset[str]:
    """Titles of the articles a threshold is chosen on, not trained on.

    A seed of its own, which no argument changes, puts the titles in order;
    the first are held out that together have 15% of the questions or 2,000.

    Args:
        questions: tuple of `SpanQuestion`. Those of a training file.
        source: str. Where they are from, for messages.

    Raises:
        DataError: there is one article only.
    """
    counts: dict[str, int] = {}
    for question in questions:
        counts[question.article] = counts.get(question.article, 0) + 1
    if len(counts) < 2:
        raise DataError(
            f"{source}: has one article, expected two or more: one is held "
            "out to choose the threshold on"
        )
    titles = sorted(counts)
    order = np.random.default_rng(_HELD_OUT_SEED).permutation(len(titles))
    wanted = min(_HELD_OUT_SHARE * len(questions), _MOST_HELD_OUT)
    chosen, count = [], 0
    for place in order[:-1]:
        if count >= wanted:
            break
        chosen.append(titles[place])
        count += counts[titles[place]]
    return frozenset(chosen)


def _read(split, data_dir, download, skip_bad):
    if data_dir is None:
        return squad_tfds.read_default(split, download, skip_bad)
    folders = (data_dir / "squad_v2", data_dir / "squad", data_dir)
    for folder in folders:
        path = squad_files.find_file(folder, split)
        if path is not None:
            questions, left_out = squad_files.read_questions(path, skip_bad)
            return questions, left_out, path.name
    prepared = squad_tfds.find_prepared(data_dir)
    if prepared is not None:
        return squad_tfds.read_prepared(prepared, split, skip_bad)
    name = "train-v2.0.json" if split == "train" else "dev-v2.0.json"
    raise DataError(
        f"{data_dir}: no {split} split of SQuAD, expected {name} in "
        "squad_v2/, squad/ or the directory itself, or squad/v2.0/<version>/"
        "dataset_info.json of tensorflow_datasets"
    )
