"""Reads SQuAD 2.0 from `tensorflow_datasets`."""

import pathlib

from bvkeras.data.span_question import SpanAnswer, SpanQuestion
from bvkeras.data.squad_files import checked_question, log_skipped
from bvkeras.data.tfds_source import (
    downloaded_builder,
    prepared_builder,
    read_rows,
)
from bvkeras.errors import DataError

_NAME = "squad/v2.0"
_FEATURES = (
    *("answers", "context", "id", "is_impossible", "plausible_answers"),
    *("question", "title"),
)

# Questions, how many were left out, and where they come from.
_Read = tuple[tuple[SpanQuestion, ...], tuple[str, ...], str]


def find_prepared(data_dir: pathlib.Path) -> pathlib.Path | None:
    """Finds the prepared data set below a `tensorflow_datasets` folder.

    Returns:
        The folder of the last version by name, or None if there is none.
    """
    infos = data_dir.glob(f"{_NAME}/*/dataset_info.json")
    return max((info.parent for info in infos), default=None)


def read_prepared(folder: pathlib.Path, split: str, skip_bad: bool) -> _Read:
    """Reads one split of a prepared data set. Nothing is downloaded.

    Args:
        folder: path. The folder with `dataset_info.json`.
        split: str. `"train"` or `"validation"`.
        skip_bad: bool. Whether malformed questions are left out and counted.

    Raises:
        DataError: the data set cannot be read or is another one, or a
            question is malformed.
    """
    return _read(prepared_builder(folder), split, skip_bad)


def read_default(split: str, download: bool, skip_bad: bool) -> _Read:
    """Reads one split from `tensorflow_datasets`' own data folder.

    Args:
        split: str. `"train"` or `"validation"`.
        download: bool. Whether to download and prepare the data set where
            it is not there yet.
        skip_bad: bool. Whether malformed questions are left out and counted.

    Raises:
        DataError: it is not there and `download` is False, or the download
            fails, or the data set cannot be read.
    """
    return _read(downloaded_builder(_NAME, download), split, skip_bad)


def _read(builder, split, skip_bad):
    questions, problems = [], []
    for row in read_rows(builder, split, set(_FEATURES)):
        title, answers = _text(row["title"]), row["answers"]
        try:
            question = checked_question(
                _text(row["id"]),
                title,
                _text(row["question"]),
                _text(row["context"]),
                [
                    SpanAnswer(_text(text), int(start))
                    for text, start in zip(
                        answers["text"], answers["answer_start"], strict=True
                    )
                ],
                bool(row["is_impossible"]),
            )
        except ValueError as error:
            problems.append(f"{builder.data_dir}: article {title!r}, {error}")
            if not skip_bad:
                raise DataError(problems[0]) from None
            continue
        questions.append(question)
    log_skipped(problems)
    # Preparing shuffles; the order is that of the official files as we read.
    ordered = tuple(sorted(questions, key=lambda question: question.id))
    return ordered, tuple(problems), f"{_NAME} of tensorflow_datasets, {split}"


def _text(value: bytes) -> str:
    return value.decode("utf-8")
