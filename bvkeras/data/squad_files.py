"""Reads the official SQuAD files, of version 1.1 and of version 2.0."""

import json
import logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from bvkeras import fileio
from bvkeras.data.span_question import SpanAnswer, SpanQuestion
from bvkeras.errors import DataError
from bvkeras.printable import printable

# How their names end; in front may stand what tells a part from the whole.
_ENDINGS = {
    "train": ("train-v2.0.json", "train-v1.1.json"),
    "validation": ("dev-v2.0.json", "dev-v1.1.json"),
}
# The official training file has 42 MB.
_MAX_BYTES = 1 << 30
_SHOWN = 40


def find_file(folder: pathlib.Path, split: str) -> pathlib.Path | None:
    """Finds a split's official file in a folder.

    Args:
        folder: path.
        split: str. `"train"` or `"validation"`.

    Returns:
        The file whose name is `train-v2.0.json` (`dev-v2.0.json`), or ends
        so; if there is none, the same with `v1.1`; None if there is none.

    Raises:
        DataError: several names end so and none is exactly that.
    """
    for ending in _ENDINGS[split]:
        if (folder / ending).is_file():
            return folder / ending
        found = sorted(folder.glob(f"*{ending}"))
        if len(found) > 1:
            raise DataError(
                f"{folder}: has {', '.join(path.name for path in found)}; "
                f"expected one file whose name ends in {ending}"
            )
        if found:
            return found[0]
    return None


def read_questions(
    path: pathlib.Path, skip_bad: bool = False
) -> tuple[tuple[SpanQuestion, ...], tuple[str, ...]]:
    """Reads the questions of an official file.

    Args:
        path: path. The file: JSON, UTF-8.
        skip_bad: bool. Whether a malformed paragraph or question is left out
            and counted. Defaults to `False`: it is an error.

    Returns:
        The questions in the order of their ids, and what was wrong with each
        paragraph and question that was left out. The logger "bvkeras" names
        the first of them.

    Raises:
        DataError: the file cannot be read, is no SQuAD file or has no
            question; or something in it is malformed, which is named by
            article and question id.
    """
    questions: dict[str, SpanQuestion] = {}
    problems: list[str] = []
    for entry in _entries(path):
        try:
            question = _question(*entry)
            if question.id in questions:
                raise _Malformed(
                    f"{_named(question.id)}: the id comes twice, first in "
                    f"article {questions[question.id].article!r}"
                )
        except _Malformed as error:
            problem = f"{path}: article {entry[0]!r}, {error}"
            if not skip_bad:
                raise DataError(problem) from None
            problems.append(problem)
            continue
        questions[question.id] = question
    log_skipped(problems)
    if not questions:
        raise DataError(f"{path}: has no question, expected at least one")
    ordered = tuple(questions[name] for name in sorted(questions))
    return ordered, tuple(problems)


def checked_question(
    name: str,
    article: str,
    question: str,
    context: str,
    answers: list[SpanAnswer],
    is_impossible: bool | None,
) -> SpanQuestion:
    """A question whose answers stand in its context where they say.

    Args:
        name: str. Its id.
        article: str. Title of its article.
        question: str.
        context: str.
        answers: list of `SpanAnswer`.
        is_impossible: bool, or None where the file does not say (v1.1):
            it is whether there is no answer.

    Raises:
        ValueError: something is wrong; the message names the question.
    """
    for number, (text, start) in enumerate(answers):
        where = f"{_named(name)}: answer {number} {_short(text)}"
        if not text:
            raise _Malformed(f"{_named(name)}: answer {number} is empty")
        if start < 0 or not context.startswith(text, start):
            raise _Malformed(
                f"{where} is not at its answer_start {start}; "
                + _whereabouts(context, text, start)
            )
    if answers and is_impossible:
        raise _Malformed(
            f"{_named(name)}: is_impossible is true and it has "
            f"{len(answers)} answers, expected none"
        )
    # Where the file does not say, as in version 1.1, the official scorer
    # takes a question without answers for one that has none.
    if not answers and is_impossible is False:
        raise _Malformed(
            f"{_named(name)}: is_impossible is false and it has no answer, "
            "expected one"
        )
    return SpanQuestion(name, article, question, context, tuple(answers))


def log_skipped(problems: Sequence[str]) -> None:
    """Says how many questions were left out, and what is wrong with one.

    Args:
        problems: sequence of str. One for each; may be empty.
    """
    if problems:
        logging.getLogger("bvkeras").warning(
            "left out %d malformed questions, the first: %s",
            len(problems),
            printable(problems[0]),
        )


class _Malformed(ValueError):
    """What is wrong with a question; whoever knows the article adds it."""


def _entries(path: pathlib.Path) -> Iterator[tuple[str, str, Any, Any]]:
    """Article, place, paragraph and question of each; None where unusable."""
    data = _read_json(path)
    articles = data.get("data") if isinstance(data, dict) else None
    if not isinstance(articles, list):
        raise DataError(
            f"{path}: has no list 'data', expected an official SQuAD file"
        )
    for number, article in enumerate(articles):
        article = article if isinstance(article, dict) else {}
        title = article.get("title")
        title = title if isinstance(title, str) else f"number {number}"
        paragraphs = article.get("paragraphs")
        if not isinstance(paragraphs, list):
            yield title, "", None, None
            continue
        for place, paragraph in enumerate(paragraphs):
            where = f"paragraph {place}"
            questions = (
                paragraph.get("qas") if isinstance(paragraph, dict) else None
            )
            if not isinstance(questions, list):
                yield title, where, paragraph, None
                continue
            for count, question in enumerate(questions):
                yield title, f"{where}, question {count}", paragraph, question


def _question(article, place, paragraph, question) -> SpanQuestion:
    if paragraph is None:
        raise _Malformed("it has no list 'paragraphs'")
    if question is None:
        raise _Malformed(f"{place}: it has no list 'qas'")
    if not isinstance(question, dict):
        raise _Malformed(f"{place}: it is no JSON object")
    name = question.get("id")
    if type(name) is int:
        name = str(name)
    if not isinstance(name, str) or not name:
        raise _Malformed(
            f"{place} ({_short(question.get('question'))}): its id is "
            + (
                "missing"
                if name is None
                else f"{_short(name)}, expected a string"
            )
        )
    texts = (("context", paragraph), ("question", question))
    for key, owner in texts:
        _check_text(f"{_named(name)}: its {key}", owner.get(key))
    is_impossible = question.get("is_impossible")
    if not (is_impossible is None or isinstance(is_impossible, bool)):
        raise _Malformed(
            f"{_named(name)}: is_impossible is {is_impossible!r}, expected "
            "true or false"
        )
    answers = question.get("answers")
    if not isinstance(answers, list):
        raise _Malformed(f"{_named(name)}: it has no list 'answers'")
    return checked_question(
        name,
        article,
        question["question"],
        paragraph["context"],
        [_answer(name, i, answer) for i, answer in enumerate(answers)],
        is_impossible,
    )


def _answer(name, number, answer) -> SpanAnswer:
    where = f"{_named(name)}: answer {number}"
    answer = answer if isinstance(answer, dict) else {}
    _check_text(f"{where}: its text", answer.get("text"))
    start = answer.get("answer_start")
    if type(start) is not int:
        raise _Malformed(
            f"{where}: its answer_start is {_short(start)}, expected a number"
        )
    return SpanAnswer(answer["text"], start)


def _check_text(what, text):
    if not isinstance(text, str):
        raise _Malformed(f"{what} is {_short(text)}, expected text")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise _Malformed(
            f"{what} has a lone surrogate at character {error.start}, "
            "expected Unicode"
        ) from None


def _whereabouts(context, text, start):
    found = context.find(text)
    if found >= 0:
        return f"the context has it at {found}"
    there = context[max(start, 0) : max(start, 0) + len(text)]
    return f"the context has {_short(there)} there, and it nowhere"


def _named(name):
    return f"question {name!r}"


def _short(value):
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _read_json(path):
    try:
        content = fileio.read_bytes(path, max_bytes=_MAX_BYTES)
        return json.loads(content.decode("utf-8-sig"))
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}), expected an official "
            "SQuAD file"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: is not JSON in UTF-8 ({error}), expected an official "
            "SQuAD file"
        ) from None
