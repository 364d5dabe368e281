"""What `AnswerFinder.predict` finds: the class `FoundAnswer`."""

from typing import NamedTuple


class FoundAnswer(NamedTuple):
    """An answer as a part of its context.

    The fields are those of a served answer.

    Attributes:
        text: str. `context[start:end]`.
        start: int. Its first character, in Unicode code points.
        end: int. The character after its last.
        score: float. The logits of its first and its last token, together.
        no_answer_probability: float. How likely no answer is against this
            one, 0 … 1.
    """

    text: str
    start: int
    end: int
    score: float
    no_answer_probability: float
