"""Tags of words from a model's outputs for tokens, and their scores."""

import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special

from bvkeras import fileio
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.token_windows import (
    UNSCORED,
    piece_words,
    window_sentence,
)
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.evaluation.system_outputs import SystemOutputs
from bvkeras.evaluation.tokens.entity_metrics import (
    entity_metrics,
    learned_scheme,
    sentence_counts,
)
from bvkeras.evaluation.tokens.tagged_words_file import (
    TaggedAnswers,
    write_tagged,
)
from bvkeras.schema import NUMBER, OBJECT, SECONDS, record_of, table_of
from bvkeras.tasks.tag_scheme import OUTSIDE

_SCHEMA = record_of(metrics=table_of(NUMBER), seconds=SECONDS, settings=OBJECT)


def tag_words(examples: TokenExamples, windows: SystemOutputs) -> TaggedAnswers:
    """The tag of each word: that of its first piece, in its best window.

    A word without a piece is outside of entities; of plain tags it has the
    first one.

    Args:
        examples: TokenExamples. The split.
        windows: SystemOutputs. The labels, `UNSCORED` where a window does not
            answer, say which window's tag counts.

    Raises:
        ArgumentError: a sentence has no window, or a window no sentence.
    """
    names = np.array(examples.label_names)
    nothing = 0
    if OUTSIDE in examples.label_names:
        nothing = examples.label_names.index(OUTSIDE)
    rows = {name: row for row, name in enumerate(examples.ids)}
    of_windows = [window_sentence(name) for name in windows.ids]
    strangers = set(of_windows) ^ set(rows)
    if strangers:
        raise ArgumentError(
            f"examples: {len(strangers)} sentences have no window or are not "
            f"in {examples.split}, such as {min(strangers)!r}; expected the "
            "sentences that the windows are of"
        )
    tags = [np.full(len(s.words), nothing) for s in examples.sentences]
    chances = [np.full(len(s.words), np.nan) for s in examples.sentences]
    for window, name in enumerate(of_windows):
        row = rows[name]
        assert windows.offsets is not None
        offsets = windows.offsets[window]
        answered = windows.labels[window, : len(offsets)] != UNSCORED
        places = np.flatnonzero(answered)
        words = piece_words(examples.sentences[row], offsets[places])
        logits = windows.outputs[window, places].astype(np.float64)
        shares = scipy.special.softmax(logits, axis=-1)
        for word, share in zip(words.tolist(), shares, strict=True):
            # The further parts of a word have labels, too.
            if np.isnan(chances[row][word]):
                tags[row][word] = share.argmax()
                chances[row][word] = share.max()
    return TaggedAnswers(
        examples.ids,
        tuple(s.words for s in examples.sentences),
        tuple(s.tags for s in examples.sentences),
        tuple(tuple(names[row].tolist()) for row in tags),
        tuple(tuple(np.nan_to_num(row).tolist()) for row in chances),
    )


def evaluate_tags(
    examples: TokenExamples,
    metrics: Sequence[str],
    directory: str | os.PathLike,
    settings: dict[str, Any],
    predict: Callable[[], SystemOutputs],
) -> Evaluation:
    """Tags and scores the words of a split.

    Writes `<split>.jsonl`, the sentences with their tags, and `<split>.json`,
    the scores; done before, it reads them instead.

    Args:
        examples: TokenExamples. The split.
        metrics: sequence of str. As `entity_metrics`.
        directory: str or path. Where the files go.
        settings: dict. What the answers were made with.
        predict: callable. Gives the outputs of the windows' tokens.

    Raises:
        RunError: the files are there and were made with something else.
    """
    directory = pathlib.Path(directory)
    path = directory / f"{examples.split}.jsonl"
    record_path = directory / f"{examples.split}.json"
    if record_path.exists() and path.exists():
        record = fileio.read_json(record_path, _SCHEMA)
        fileio.require_same(record_path, record["settings"], settings)
        return Evaluation(record["metrics"], record["seconds"], path)
    began = time.monotonic()
    answers = tag_words(examples, predict())
    seconds = time.monotonic() - began
    counts = sentence_counts(
        answers.labels,
        answers.predictions,
        learned_scheme(examples.label_names),
    )
    scores = entity_metrics(metrics, counts.sum(axis=0).tolist())
    write_tagged(path, answers)
    fileio.write_json(
        record_path,
        {"metrics": scores, "seconds": seconds, "settings": settings},
    )
    return Evaluation(scores, seconds, path)
