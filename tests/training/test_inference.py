"""A fine-tuned model computes the same on the fast path."""

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.encoders.loading import load_backbone
from bvkeras.models.finetuning_model import finetuning_model
from bvkeras.training.inference import inference_function
from tests.native import require_native

# [CLS] is 2 and [SEP] 3 in the tiny vocabulary; a pair, and a shorter one.
TOKEN_IDS = np.array(
    [[2, 7, 9, 3, 8, 5, 3, 0], [2, 6, 3, 9, 3, 0, 0, 0]], np.int32
)
SEGMENT_IDS = np.array(
    [[0, 0, 0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 0, 0, 0]], np.int32
)


@pytest.mark.parametrize("implementation", ["reference", "native"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sentence_pooling": "mean"},
        {"sentence_pooling": "first"},
        {"per_token": True},
        {"per_token": True, "answers_only": True},
        {"apart": True, "sentence_pooling": "mean"},
    ],
    ids=str,
)
def test_equals_the_model(tiny_bert, settings, implementation, monkeypatch):
    if implementation == "native":
        require_native()
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", implementation)
    backbone = load_backbone(tiny_bert).backbone
    model = finetuning_model(backbone, 2, **settings)
    mask = TOKEN_IDS > 0
    inputs = {
        "token_ids": tf.constant(TOKEN_IDS),
        "segment_ids": tf.constant(SEGMENT_IDS),
        "padding_mask": tf.constant(mask, tf.int32),
    }
    expected = model(inputs, training=False).numpy()
    outputs = inference_function(model, backbone)(inputs).numpy()
    if "per_token" in settings:
        expected, outputs = expected[mask], outputs[mask]
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
