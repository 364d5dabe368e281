"""Settings for a task nobody has tuned, by its number of rows.

docs/own_data.md says how the numbers were chosen.
"""

import math

from bvkeras.errors import ArgumentError
from bvkeras.tasks.settings import TaskSettings, paper_settings, small_settings

# With fewer steps than these, models of few rows are far from learned.
_FINE_TUNING_STEPS = 300
_HEAD_STEPS = 1000
_MOST_FINE_TUNING_EPOCHS = 10
_MOST_HEAD_EPOCHS = 60
_FEWEST_HEAD_EPOCHS = {True: 6, False: 3}

_BATCH_SIZE = 16
_LARGE_BATCH_SIZE = 32
# From here on an epoch has enough steps of the larger batches.
_LARGE_ROWS = 20_000

_SHORTEST, _LONGEST = 32, 256
# Of windows. The longest is SQuAD's; the shortest leaves a context some room
# after a question.
_SHORTEST_WINDOW, _LONGEST_WINDOW = 96, 384
_DEFAULT_TOKENS = 128


def own_settings(
    num_rows: int, max_tokens: int = _DEFAULT_TOKENS
) -> tuple[TaskSettings, TaskSettings]:
    """Settings by the number of training rows.

    Passes over the rows are as many as give a least number of steps, to the
    encoder and to the head, up to a most: a few hundred rows, seen once or
    twice, teach neither.

    Args:
        num_rows: int. Training rows.
        max_tokens: int. Longest input. Defaults to `128`; `fitting_tokens`
            finds one.

    Returns:
        For encoders like BERT-base, and for those with fewer features.

    Raises:
        ArgumentError: there is no row.
    """
    if num_rows < 1:
        raise ArgumentError(f"num_rows: got {num_rows}, expected at least 1")
    batch_size = _LARGE_BATCH_SIZE if num_rows >= _LARGE_ROWS else _BATCH_SIZE
    epochs = _passes(
        _FINE_TUNING_STEPS, num_rows, batch_size, 1, _MOST_FINE_TUNING_EPOCHS
    )
    base = paper_settings(
        2e-5,
        batch_size,
        head_learning_rate=1e-3,
        units=16,
        max_tokens=max_tokens,
    )
    small = small_settings(batch_size, max_tokens=max_tokens)
    found = [
        settings.replaced(
            epochs=float(epochs),
            token_pooling="mean",
            head_batch_size=_BATCH_SIZE,
            head_epochs=_passes(
                _HEAD_STEPS,
                num_rows,
                _BATCH_SIZE,
                _FEWEST_HEAD_EPOCHS[is_small],
                _MOST_HEAD_EPOCHS,
            ),
        )
        for settings, is_small in ((base, False), (small, True))
    ]
    return found[0], found[1]


def own_span_settings(
    num_questions: int, max_tokens: int
) -> tuple[TaskSettings, TaskSettings]:
    """Settings of a task of questions, by their number.

    Passes are those of `own_settings`, the rest is what SQuAD is trained with
    (docs/squad.md): a projection that all tokens share learns fast, and needs
    a wide pooling.

    Args:
        num_questions: int. Training questions.
        max_tokens: int. Longest window; `fitting_window` finds one.

    Returns:
        For encoders like BERT-base, and for those with fewer features.

    Raises:
        ArgumentError: there is no question.
    """
    base, small = own_settings(num_questions, max_tokens)
    shared = {
        "batch_size": _BATCH_SIZE,
        "dropout": 0.1,
        "units": 64,
        "token_pooling": "flatten",
    }
    return (
        base.replaced(**shared),
        small.replaced(learning_rate=2e-4, head_learning_rate=3e-3, **shared),
    )


def own_tag_settings(
    num_sentences: int, max_tokens: int = _DEFAULT_TOKENS
) -> tuple[TaskSettings, TaskSettings]:
    """Settings of a task of tagged words, by the number of sentences.

    Those of `own_settings`, with outputs of tokens: nothing is pooled.

    Args:
        num_sentences: int. Training sentences.
        max_tokens: int. Longest window. Defaults to `128`.

    Returns:
        For encoders like BERT-base, and for those with fewer features.

    Raises:
        ArgumentError: there is no sentence.
    """
    base, small = own_settings(num_sentences, max_tokens)
    return (
        base.replaced(token_pooling="flatten"),
        small.replaced(token_pooling="flatten"),
    )


def fitting_window(quantile_95: float) -> int:
    """Longest window over question and context; nothing is cut away.

    Args:
        quantile_95: float. As `fitting_tokens`, of question and context.

    Returns:
        A multiple of 16 from 96 to 384.
    """
    rounded = 16 * math.ceil(quantile_95 / 16)
    return min(max(rounded, _SHORTEST_WINDOW), _LONGEST_WINDOW)


def fitting_tokens(quantile_95: float) -> int:
    """Longest input that cuts one row in twenty or fewer.

    Args:
        quantile_95: float. Tokens that 95% of the rows have at most, special
            ones counted.

    Returns:
        A multiple of 16 from 32 to 256; above that the time grows with the
        square, and the beginning says most.
    """
    rounded = 16 * math.ceil(quantile_95 / 16)
    return min(max(rounded, _SHORTEST), _LONGEST)


def _passes(steps, num_rows, batch_size, fewest, most):
    a_pass = math.ceil(num_rows / batch_size)
    return min(max(math.ceil(steps / a_pass), fewest), most)
