"""Lengths of rows are those the tokenizer packs."""

from bvkeras.data.tables.token_lengths import token_lengths
from bvkeras.encoders.word_piece import WordPiece


def test_lengths_are_those_of_whole_rows():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##b"]
    tokenizer = WordPiece(pieces)
    first, second = ["a b", "abb", "🙂"], ["", "a", "a a"]
    for texts_b in (None, second):
        rows = tokenizer.pack(first, texts_b, max_tokens=128)
        assert token_lengths(tokenizer, first, texts_b).tolist() == [
            len(ids) for ids, _ in rows
        ]
