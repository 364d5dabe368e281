"""The optimizer every training step of the package uses."""

import keras

from bvkeras.training.schedules import WarmupLinearDecay

# Names of variables, in keras-hub's backbones and in ours, that weight decay
# leaves alone: biases and the two parameters of LayerNorm.
_NOT_DECAYED = ["bias", "gamma", "beta"]


def adamw(
    learning_rate: float, total_steps: int, weight_decay: float = 0.01
) -> keras.optimizers.AdamW:
    """AdamW as BERT is fine-tuned with it.

    Decoupled weight decay, not applied to biases and LayerNorm; 10% linear
    warm-up, then linear decay to zero; gradients clipped to a global norm
    of 1.

    Args:
        learning_rate: float. The highest rate.
        total_steps: int. Steps of the run.
        weight_decay: float. Defaults to `0.01`.

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """
    optimizer = keras.optimizers.AdamW(
        WarmupLinearDecay(learning_rate, total_steps),
        weight_decay=weight_decay,
        epsilon=1e-6,
        global_clipnorm=1.0,
    )
    optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer
