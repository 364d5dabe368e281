"""Text in, answer out: the objects a user meets first."""

import keras  # noqa: F401, before any module of ours: bvkeras/__init__.py

from bvkeras.classifiers.answer_finder import AnswerFinder
from bvkeras.classifiers.loading import load
from bvkeras.classifiers.text_classifier import TextClassifier
from bvkeras.classifiers.text_regressor import TextRegressor
from bvkeras.classifiers.token_classifier import TokenClassifier

__all__ = [
    "AnswerFinder",
    "TextClassifier",
    "TextRegressor",
    "TokenClassifier",
    "load",
]
