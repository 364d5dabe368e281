"""A question about a paragraph, with its answers."""

import dataclasses
from typing import NamedTuple


class SpanAnswer(NamedTuple):
    """An answer as a part of its context.

    Attributes:
        text: str. `context[start : start + len(text)]`.
        start: int. Its first character, in Unicode code points.
    """

    text: str
    start: int

    @property
    def end(self) -> int:
        """The character after its last."""
        return self.start + len(self.text)


@dataclasses.dataclass(frozen=True, slots=True)
class SpanQuestion:
    """One question of SQuAD.

    Attributes:
        id: str.
        article: str. Title of the article.
        question: str.
        context: str. The paragraph.
        answers: tuple of `SpanAnswer`. The first is the one to train on;
            empty where the context does not answer the question.
    """

    id: str
    article: str
    question: str
    context: str
    answers: tuple[SpanAnswer, ...]
