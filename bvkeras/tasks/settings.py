"""The numbers a task is trained with, for the encoder and for the head."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TaskSettings:
    """Hyperparameters of one task: fine-tuning, then the pooled head.

    Args:
        learning_rate: float. Peak rate of the encoder's AdamW.
        batch_size: int. Examples per step of fine-tuning.
        max_tokens: int. Longest input, special tokens included.
        epochs: float. Passes over the training split.
        head_units: int. Width of the shared linear map over the layers.
        head_learning_rate: float. Peak rate of the head's AdamW.
        head_projection_rate: float. The projection's share of that rate.
        head_epochs: int. Passes over the cached hidden states.
        head_batch_size: int. Examples per step of the head's training.
        head_dropout: float in [0, 1). Dropout on the pooled features.
        head_token_pooling: str. `"flatten"` or `"mean"`, as
            `bvkeras.training.head.build_head` explains. Defaults to
            `"flatten"`.
        dropout: float in [0, 1). Dropout in fine-tuning, of the encoder and in
            front of its head. Defaults to `0.1`, BERT's own.
    """

    learning_rate: float
    batch_size: int
    max_tokens: int
    epochs: float
    head_units: int
    head_learning_rate: float
    head_projection_rate: float
    head_epochs: int
    head_batch_size: int
    head_dropout: float
    head_token_pooling: str = "flatten"
    dropout: float = 0.1


def paper_settings(
    learning_rate: float,
    batch_size: int,
    head_learning_rate: float,
    head_units: int | None = None,
    max_tokens: int = 128,
) -> TaskSettings:
    """Settings of the authors' published code: one epoch for both models.

    Args:
        learning_rate: float. Peak rate of the encoder.
        batch_size: int. For the encoder and for the head.
        head_learning_rate: float. Peak rate of the head.
        head_units: int or None. None leaves the units at the number of
            tokens, as the authors do where they did not tune them.
        max_tokens: int. Longest input, special tokens included.
    """
    return TaskSettings(
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_tokens=max_tokens,
        epochs=1.0,
        head_units=max_tokens if head_units is None else head_units,
        head_learning_rate=head_learning_rate,
        head_projection_rate=1.0,
        head_epochs=1,
        head_batch_size=batch_size,
        head_dropout=0.0,
    )


def small_settings(
    batch_size: int = 32,
    learning_rate: float = 1e-4,
    max_tokens: int = 128,
    epochs: float = 1.0,
) -> TaskSettings:
    """Settings for an encoder with fewer than 768 features.

    A small encoder needs a larger rate than BERT-base and no dropout to leave
    the majority class in one epoch, and its head needs fewer units, more passes
    and the mean over tokens. These are this package's own, not the paper's;
    docs/reproduce.md says how they were chosen.

    Args:
        batch_size: int. Examples per step of fine-tuning.
        learning_rate: float. Peak rate of the encoder.
        max_tokens: int. Longest input, special tokens included.
        epochs: float. Passes over the training split.
    """
    return TaskSettings(
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_tokens=max_tokens,
        epochs=epochs,
        dropout=0.0,
        head_units=16,
        head_learning_rate=1e-3,
        head_token_pooling="mean",
        head_projection_rate=1.0,
        head_epochs=6,
        head_batch_size=16,
        head_dropout=0.0,
    )
