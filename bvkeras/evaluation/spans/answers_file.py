"""The answers of any system to SQuAD's questions: its predictions file."""

import json
import os

from bvkeras import fileio
from bvkeras.data.span_examples import SpanExamples
from bvkeras.errors import DataError

_MAX_BYTES = 1 << 30
_SHOWN = 40


def read_answers(
    path: str | os.PathLike, examples: SpanExamples
) -> tuple[str, ...]:
    """Reads what the official script takes: a JSON object, id to answer.

    Args:
        path: str or path. JSON, UTF-8; the answer is empty where there is
            none.
        examples: SpanExamples. The questions. If malformed ones were left out
            of them, ids that are of no question are passed over.

    Returns:
        tuple of str. One answer for each question, in their order.

    Raises:
        DataError: the file is no such object, an answer is no text, or it is
            not one for each question.
        OSError: the file cannot be read.
    """
    content = fileio.read_bytes(path, max_bytes=_MAX_BYTES)
    try:
        answers = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not JSON in UTF-8 ({error})") from None
    if not isinstance(answers, dict):
        raise DataError(
            f"{path}: received {_short(answers)}, expected a JSON object of "
            "question ids and answers"
        )
    missing = set(examples.ids) - set(answers)
    if missing:
        raise DataError(
            f"{path}: has no answer to {len(missing):,} of {len(examples):,} "
            f"questions, such as {min(missing)!r}; expected one for each, the "
            "empty text for no answer"
        )
    unknown = set(answers) - set(examples.ids)
    if unknown and not examples.skipped:
        raise DataError(
            f"{path}: {len(unknown):,} of its ids are of no question, such as "
            f"{min(unknown)!r}; expected the {len(examples):,} questions of "
            f"{examples.source}"
        )
    return tuple(_text(path, name, answers[name]) for name in examples.ids)


def _text(path, name, answer):
    if not isinstance(answer, str):
        raise DataError(
            f"{path}: question {name!r}: its answer is {_short(answer)}, "
            "expected text"
        )
    try:
        answer.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: question {name!r}: its answer has a lone surrogate at "
            f"character {error.start}, expected Unicode"
        ) from None
    return answer


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
