"""Texts taken apart in this process, where no graph can do it."""

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from bvkeras import tasks
from bvkeras.encoders.encoder import Encoder
from bvkeras.encoders.tokenizer import Tokenizer
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.errors import ArgumentError
from bvkeras.layers.hidden_states import HiddenStates
from bvkeras.serving.saved_model import export
from bvkeras.serving.served_head import ServedHead
from bvkeras.serving.served_task import ServedTask
from bvkeras.serving.text_model import TextModel
from bvkeras.serving.text_pieces import text_pieces
from tests.awkward_tokenizers import CONTENTS, EXPECTED, TOKENIZERS


@pytest.fixture(scope="module")
def served():
    """An encoder with RoBERTa's tokenizer, and a head for pairs on it."""
    backbone = keras_hub.models.BertBackbone(420, 1, 1, 4, 4, dropout=0.0)
    encoder = Encoder(backbone, TOKENIZERS["roberta"], "mine")
    config = {
        "type": "EncoderHead",
        "last_layer": 1,
        "frozen_parameters": 0,
        "per_token": False,
        "sentence_pooling": "first",
    }
    kernel = np.arange(12, dtype=np.float32).reshape(4, 3) % 5
    head = ServedHead(config, [kernel, np.zeros(3, np.float32)])
    task = ServedTask.of(tasks.get("mnli"), head, max_tokens=24, layers=(1,))
    return encoder, task, kernel


def test_pieces_are_the_graphs():
    """Of plain BERT's tokenizer, by either way."""
    vocabulary = CONTENTS["bert"]["model"]["vocab"]
    plain = WordPiece(sorted(vocabulary, key=vocabulary.get), lowercase=False)
    added = CONTENTS["bert"]["added_tokens"][:5]
    general = Tokenizer(CONTENTS["bert"] | {"added_tokens": added})
    texts = tf.constant([t for t in EXPECTED["bert"]["texts"] if "\0" not in t])
    expected = text_pieces(plain)(texts, offsets=True)
    found = tf.function(text_pieces(general))(texts, offsets=True)
    for name in ("ids", "row_splits", "offsets"):
        np.testing.assert_array_equal(
            getattr(found, name), getattr(expected, name)
        )
    np.testing.assert_array_equal(
        found.continued, plain.continued_pieces[expected.ids]
    )


def test_no_texts_have_no_pieces():
    pieces = text_pieces(TOKENIZERS["roberta"])(
        tf.zeros([0], tf.string), offsets=True
    )
    assert pieces.ids.shape == (0,)
    assert pieces.row_splits.numpy().tolist() == [0]
    assert pieces.offsets.shape == (0, 2)


def test_answers_are_those_of_the_encoder(served):
    encoder, task, kernel = served
    texts = ["the Zoë cat " * 9, "", "a (Paris) letter?"]
    pairs = ["one", "two three", "sat on the mat " * 9]
    found = TextModel.of(encoder, task).predict(texts, pairs)
    batch = encoder.preprocess(texts, pairs, max_tokens=24)
    assert batch["token_ids"].shape == (3, 24)
    states = HiddenStates(encoder.backbone, layers=[1])(batch)
    expected = tf.nn.softmax(states[:, 0, 0] @ kernel)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


def test_its_export_is_refused(served, tmp_path):
    encoder, task, _ = served
    with pytest.raises(
        ArgumentError, match="encoder: mine has a tokenizer that a TensorFlow"
    ):
        export(encoder, [task], tmp_path / "out")
    assert not (tmp_path / "out").exists()
