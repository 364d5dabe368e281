"""Trained objects that many tests look at."""

import pytest

import bvkeras
from tests.classifiers.texts import FAST, LABELS, TEXTS


@pytest.fixture(scope="session")
def classifier(tiny_bert):
    """A frozen tiny BERT and a head for two classes, trained in memory."""
    model = bvkeras.TextClassifier.from_preset(tiny_bert, name="tone", **FAST)
    model.history = model.fit(
        TEXTS, LABELS, validation_data=(TEXTS[:6], LABELS[:6])
    )
    return model


@pytest.fixture(scope="session")
def regressor(tiny_bert):
    """A fine-tuned tiny BERT and a head for scores of pairs."""
    model = bvkeras.TextRegressor.from_preset(
        tiny_bert,
        encoder_training="fine_tuned",
        learning_rate=1e-3,
        max_tokens=24,
        **FAST,
    )
    scores = [float(label == "good") for label in LABELS]
    model.fit((TEXTS, TEXTS[::-1]), scores, epochs=1)
    return model
