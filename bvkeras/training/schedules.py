"""The learning rate over a training run."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bvkeras")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to a peak, then falls linearly to zero.

    Step s (from 0) of n gets `peak * (s + 1) / warmup` in the warm-up and
    `peak * (n - s) / (n - warmup)` after it, so no step has a rate of zero.

    Args:
        peak: float. The highest learning rate.
        total_steps: int. Steps of the whole run, at least 1.
        warmup_fraction: float. Part of the steps that warms up.
            Defaults to `0.1`, the usual BERT setting.

    Reference:
        Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers
        for Language Understanding", 2019, appendix A.2.
    """

    def __init__(
        self, peak: float, total_steps: int, warmup_fraction: float = 0.1
    ):
        super().__init__()
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_fraction = warmup_fraction

    def __call__(self, step):
        step = ops.cast(step, "float32")
        warmup = round(self.warmup_fraction * self.total_steps)
        rising = (step + 1.0) / max(1, warmup)
        falling = (self.total_steps - step) / max(1, self.total_steps - warmup)
        return self.peak * ops.clip(ops.minimum(rising, falling), 0.0, 1.0)

    def get_config(self):
        return {
            "peak": self.peak,
            "total_steps": self.total_steps,
            "warmup_fraction": self.warmup_fraction,
        }
