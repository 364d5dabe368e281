"""What stands for a whole text when an encoder is fine-tuned.

"cls" is BERT's pooled output at [CLS], "mean" the mean of the last hidden
states of the text's tokens. Most encoders of sentence-transformers were trained
with the mean, and their pooler was not trained with it.
"""

from typing import Any

from bvkeras.errors import ArgumentError

SENTENCE_POOLINGS = ("cls", "mean")

# A run's record has the setting only where it differs: records of runs from
# before there was a choice have none.
NOT_MEAN = {"sentence_pooling": "cls"}


def check_sentence_pooling(sentence_pooling: str) -> None:
    """Raises ArgumentError unless it is "cls" or "mean"."""
    if sentence_pooling not in SENTENCE_POOLINGS:
        raise ArgumentError(
            f"sentence_pooling: expected 'cls' or 'mean', got "
            f"{sentence_pooling!r}"
        )


def sentence_pooling_settings(
    sentence_pooling: str | None, per_token: bool = False
) -> dict[str, Any]:
    """The setting as a run's record has it.

    Args:
        sentence_pooling: str or None. "cls" or "mean"; None is not recorded.
        per_token: bool. Whether the task's outputs are of tokens, which pools
            nothing. Defaults to `False`.

    Returns:
        dict of the setting, empty unless it is the mean.
    """
    if per_token or sentence_pooling in (None, NOT_MEAN["sentence_pooling"]):
        return {}
    return {"sentence_pooling": sentence_pooling}
