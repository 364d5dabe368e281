"""The optimizer every training step of the package uses."""

from collections.abc import Mapping

from bvkeras.training.rated_adamw import RatedAdamW
from bvkeras.training.schedules import WarmupLinearDecay

# Names of variables, in keras-hub's backbones and in ours, that weight decay
# leaves alone: biases and the two parameters of LayerNorm.
_NOT_DECAYED = ["bias", "gamma", "beta"]


def adamw(
    learning_rate: float,
    total_steps: int,
    weight_decay: float = 0.01,
    rates: Mapping[str, float] | None = None,
    warmup_fraction: float = 0.1,
) -> RatedAdamW:
    """AdamW as BERT is fine-tuned with it.

    Decoupled weight decay, not applied to biases and LayerNorm; linear
    warm-up, then linear decay to zero; gradients clipped to a global norm
    of 1.

    Args:
        learning_rate: float. The highest rate.
        total_steps: int. Steps of the run.
        weight_decay: float. Defaults to `0.01`.
        rates: mapping of variable name to float. What the rate of Adam's step
            is multiplied by for variables of that name; decay stays as it is.
            Defaults to `None`: one rate for all.
        warmup_fraction: float. Part of the steps that warms up. Defaults to
            `0.1`.

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """
    settings = {
        "learning_rate": WarmupLinearDecay(
            learning_rate, total_steps, warmup_fraction
        ),
        "weight_decay": weight_decay,
        "epsilon": 1e-6,
        "global_clipnorm": 1.0,
    }
    optimizer = RatedAdamW(rates, **settings)
    optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer
