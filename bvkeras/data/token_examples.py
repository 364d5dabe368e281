"""Sentences with a tag for each word, of one split, in memory."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bvkeras.data.examples import random_subset
from bvkeras.data.tagged_sentence import TaggedSentence
from bvkeras.errors import DataError
from bvkeras.fileio import value_digest

if TYPE_CHECKING:
    from bvkeras.data.tokenized_examples import TokenizedExamples
    from bvkeras.encoders.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class TokenExamples:
    """The sentences of one split of a task that tags words.

    Args:
        task: str. Name of the task.
        split: str. Name of the split.
        sentences: tuple of n `TaggedSentence`.
        label_names: tuple of str. All tags there can be.

    Raises:
        DataError: an id comes twice, a sentence has no word or not a tag for
            each, or a tag is none of `label_names`; names the sentence.
    """

    task: str
    split: str
    sentences: tuple[TaggedSentence, ...]
    label_names: tuple[str, ...]

    def __post_init__(self):
        where = f"{self.task} {self.split}"
        if len(set(self.ids)) < len(self.ids):
            raise DataError(
                f"{where}: {len(self.ids)} sentences have "
                f"{len(set(self.ids))} different ids, expected one each"
            )
        known = set(self.label_names)
        for sentence in self.sentences:
            if not sentence.words or len(sentence.words) != len(sentence.tags):
                raise DataError(
                    f"{where}, sentence {sentence.id!r}: has "
                    f"{len(sentence.words)} words and {len(sentence.tags)} "
                    "tags, expected a tag for each, and a word"
                )
            for tag in sentence.tags:
                if tag not in known:
                    raise DataError(
                        f"{where}, sentence {sentence.id!r}: has the tag "
                        f"{tag!r}, expected one of "
                        f"{', '.join(self.label_names)}"
                    )

    def __len__(self) -> int:
        return len(self.sentences)

    @functools.cached_property
    def ids(self) -> tuple[str, ...]:
        """The sentences' ids."""
        return tuple(sentence.id for sentence in self.sentences)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of every field, in hexadecimal."""
        sentences = [(s.id, s.words, s.tags) for s in self.sentences]
        return value_digest(
            [self.task, self.split, sentences, self.label_names]
        )

    @property
    def has_windows(self) -> bool:
        """Whether a text may have several rows of tokens."""
        return True

    @property
    def window_identity(self) -> dict[str, Any]:
        """What of these examples decides their tokens besides `max_tokens`.

        Nothing: how sentences are cut follows from it.
        """
        return {}

    def tokenized(
        self, tokenizer: "Tokenizer", max_tokens: int, offsets: bool
    ) -> "TokenizedExamples":
        """The sentences' windows, one sentence's after another's.

        Args:
            tokenizer: Tokenizer.
            max_tokens: int. Most tokens of a window, the special ones
                counted.
            offsets: bool. Windows have theirs in any case.

        Raises:
            ArgumentError: `max_tokens` leaves no room for a token.
        """
        # Brings Keras, and a table that is refused is refused at once.
        from bvkeras.data.token_windows import make_token_windows

        del offsets
        return make_token_windows(
            self.sentences, tokenizer, max_tokens, self.label_names
        )

    def take(self, indices: Iterable[int]) -> "TokenExamples":
        """Picks sentences by position, in the order of `indices`."""
        return dataclasses.replace(
            self, sentences=tuple(self.sentences[i] for i in indices)
        )

    def limit(self, n: int | None, seed: int = 0) -> "TokenExamples":
        """Picks a random subset, as `Examples.limit` does.

        Raises:
            ArgumentError: `n` is less than 1.
        """
        chosen = random_subset(len(self), n, seed)
        return self if chosen is None else self.take(chosen)
