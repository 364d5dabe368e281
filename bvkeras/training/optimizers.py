"""The optimizer every training step of the package uses."""

from collections.abc import Mapping

import keras

from bvkeras.training.schedules import WarmupLinearDecay

# Names of variables, in keras-hub's backbones and in ours, that weight decay
# leaves alone: biases and the two parameters of LayerNorm.
_NOT_DECAYED = ["bias", "gamma", "beta"]


def adamw(
    learning_rate: float,
    total_steps: int,
    weight_decay: float = 0.01,
    rates: Mapping[str, float] | None = None,
) -> keras.optimizers.AdamW:
    """AdamW as BERT is fine-tuned with it.

    Decoupled weight decay, not applied to biases and LayerNorm; 10% linear
    warm-up, then linear decay to zero; gradients clipped to a global norm
    of 1.

    Args:
        learning_rate: float. The highest rate.
        total_steps: int. Steps of the run.
        weight_decay: float. Defaults to `0.01`.
        rates: mapping of variable name to float. What the rate of Adam's step
            is multiplied by for variables of that name; decay stays as it is.
            Defaults to `None`: one rate for all.

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
    """
    optimizer = _AdamW(
        rates or {},
        WarmupLinearDecay(learning_rate, total_steps),
        weight_decay=weight_decay,
        epsilon=1e-6,
        global_clipnorm=1.0,
        name="adamw",
    )
    optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
    return optimizer


class _AdamW(keras.optimizers.AdamW):
    """AdamW with a factor on the rate of some variables.

    It is never saved, so it needs no config: a run's state holds its
    variables, and saved heads have no optimizer.
    """

    def __init__(self, rates: Mapping[str, float], *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._rates = dict(rates)
        self._factors: list[float] = []

    def build(self, variables):
        super().build(variables)
        # By position: `update_step` gets TensorFlow's variables, whose names
        # are others.
        self._factors = [self._rates.get(v.name, 1.0) for v in variables]

    def update_step(self, gradient, variable, learning_rate):
        factor = self._factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * factor)
