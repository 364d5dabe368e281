"""Scoring answers to questions: the class `SpanEvaluation`."""

import dataclasses

import numpy as np

from bvkeras.evaluation.evaluation import Evaluation
from bvkeras.evaluation.spans.squad_metrics import BestThreshold


@dataclasses.dataclass(frozen=True, eq=False)
class SpanEvaluation(Evaluation):
    """What a system reached on the questions of one split.

    Attributes:
        threshold: float. Questions with a `na_prob` above it are answered by
            nothing.
        exact: float64 array `(questions,)`. Exact match, 0 or 1.
        f1: float64 array `(questions,)`. F1, 0 … 1.
        text_exact: float64 array `(questions,)`. As `exact`, of the best text
            of every question: no answer is switched off.
        text_f1: float64 array `(questions,)`. The same of F1.
        best_exact: BestThreshold. The highest exact match that a threshold
            chosen on these very questions gives.
        best_f1: BestThreshold. The same of F1.
    """

    threshold: float
    exact: np.ndarray
    f1: np.ndarray
    text_exact: np.ndarray
    text_f1: np.ndarray
    best_exact: BestThreshold
    best_f1: BestThreshold
