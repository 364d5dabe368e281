"""Questions about paragraphs, of one split, in memory."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

from bvkeras.data.examples import random_subset
from bvkeras.data.span_question import SpanQuestion
from bvkeras.data.squad_windows import make_windows
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.errors import DataError
from bvkeras.fileio import value_digest
from bvkeras.tasks.window_plan import WindowPlan


@dataclasses.dataclass(frozen=True, eq=False)
class SpanExamples:
    """The questions of one split of a span task.

    Args:
        task: str. Name of the task.
        split: str. Name of the split.
        questions: tuple of n `SpanQuestion`.
        windows: `WindowPlan`. How contexts are cut when they are tokenised.
        source: str. Where they come from, for a report.
        skipped: int. Questions of the source that were malformed and are left
            out. Defaults to `0`.
        left_out: tuple of str. What was wrong with each of those, where it is
            known. Defaults to none.

    Raises:
        DataError: an id comes twice.
    """

    task: str
    split: str
    questions: tuple[SpanQuestion, ...]
    windows: WindowPlan
    source: str
    skipped: int = 0
    left_out: tuple[str, ...] = ()

    def __post_init__(self):
        if len(set(self.ids)) < len(self.ids):
            raise DataError(
                f"{self.task} {self.split}: {len(self.ids)} questions have "
                f"{len(set(self.ids))} different ids, expected one each"
            )

    def __len__(self) -> int:
        return len(self.questions)

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """The questions' ids."""
        return tuple(question.id for question in self.questions)

    @property
    def articles(self) -> tuple[str, ...]:
        """Titles of the articles, in the order of the questions."""
        return tuple(dict.fromkeys(q.article for q in self.questions))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of task, split and all questions, in hexadecimal."""
        contexts: dict[str, int] = {}
        questions = [
            (
                *(q.id, q.article, q.question, q.answers),
                contexts.setdefault(q.context, len(contexts)),
            )
            for q in self.questions
        ]
        return value_digest([self.task, self.split, questions, list(contexts)])

    @property
    def has_windows(self) -> bool:
        """Whether a text may have several rows of tokens."""
        return True

    @property
    def window_identity(self) -> dict[str, Any]:
        """What of these examples decides their tokens besides `max_tokens`."""
        return {"windows": dataclasses.asdict(self.windows)}

    def tokenized(
        self, tokenizer: Tokenizer, max_tokens: int, offsets: bool
    ) -> TokenizedExamples:
        """The questions' windows, one question's after another's.

        Args:
            tokenizer: Tokenizer.
            max_tokens: int. Most tokens of a window, the special ones
                counted.
            offsets: bool. Windows have theirs in any case.

        Raises:
            ArgumentError: `max_tokens` leaves no room for a context.
        """
        del offsets
        return make_windows(self.questions, tokenizer, max_tokens, self.windows)

    def take(self, indices: Iterable[int]) -> "SpanExamples":
        """Picks questions by position, in the order of `indices`."""
        return dataclasses.replace(
            self, questions=tuple(self.questions[i] for i in indices)
        )

    def limit(self, n: int | None, seed: int = 0) -> "SpanExamples":
        """Picks a random subset, as `Examples.limit` does.

        Raises:
            ArgumentError: `n` is less than 1.
        """
        chosen = random_subset(len(self), n, seed)
        return self if chosen is None else self.take(chosen)
