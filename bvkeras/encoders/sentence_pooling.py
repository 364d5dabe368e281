"""What stands for a whole text when an encoder is fine-tuned.

"cls" is BERT's pooled output at [CLS], "first" the last hidden state of [CLS]
itself, "mean" the mean of the last hidden states of the text's tokens. Encoders
of sentence-transformers were trained with one of the latter two, most of them
with the mean, and their pooler was not trained with it.
"""

from bvkeras.errors import ArgumentError

SENTENCE_POOLINGS = ("cls", "first", "mean")


def check_sentence_pooling(sentence_pooling: str) -> None:
    """Raises ArgumentError unless it is "cls", "first" or "mean"."""
    if sentence_pooling not in SENTENCE_POOLINGS:
        raise ArgumentError(
            f"sentence_pooling: expected 'cls', 'first' or 'mean', got "
            f"{sentence_pooling!r}"
        )
