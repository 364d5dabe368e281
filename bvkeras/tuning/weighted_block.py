"""Heads of weighted means, trained side by side."""

from collections.abc import Sequence

import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.ops.text_pairs import pair_features
from bvkeras.ops.weighted_mean import by_layers, read_masks, weighted_means
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import build_head, standardize_start
from bvkeras.training.target_scale import TargetScale
from bvkeras.tuning.head_block import HeadBlock
from bvkeras.tuning.head_settings import HeadSettings


class WeightedBlock(HeadBlock):
    """Heads of `WeightedProbe`, which share the hidden states as they lie.

    Args:
        task: TaskSpec.
        part: HiddenStateBatches of the training rows.
        settings: sequence of HeadSettings, of all heads of a search.
        members: sequence of int. Which of them are in this block.
        scale: TargetScale. What labels are standardised by.
    """

    def __init__(
        self,
        task: TaskSpec,
        part: HiddenStateBatches,
        settings: Sequence[HeadSettings],
        members: Sequence[int],
        scale: TargetScale,
    ):
        starts = []
        for member in members:
            model = build_head(task, part, settings[member].config)
            standardize_start(model, scale)
            starts.append(model.get_weights())
        names = ("projection", "bias", "query")
        super().__init__(
            task,
            settings,
            members,
            {
                name: tf.stack(values)
                for name, values in zip(
                    names, zip(*starts, strict=True), strict=True
                )
            },
        )
        self._has_one_logit = task.num_labels == 2 and not task.several_labels

    def outputs(self, hidden_states, mask, step=None) -> tf.Tensor:
        states = by_layers(hidden_states, mask)
        masks = read_masks(mask, states, self._task.is_apart)
        query = tf.transpose(self._weights["query"], (1, 2, 0))
        means = [
            # From `(batch, layers, heads, features)`.
            tf.transpose(mean, (2, 0, 1, 3))
            for mean in weighted_means(states, query, masks)
        ]
        batch = tf.shape(states)[0]
        if self._task.is_apart:
            flat = [tf.reshape(mean, (-1, *mean.shape[2:])) for mean in means]
            features = pair_features(*flat)
        else:
            features = means[0]
        width = self._weights["projection"].shape[1]
        features = tf.reshape(features, (self._heads, batch, width))
        if step is not None and self._dropout.any():
            features = self.dropped(features, step)
        outputs = features @ self._weights["projection"]
        outputs += self._weights["bias"][:, tf.newaxis]
        if self._has_one_logit:
            outputs = tf.pad(outputs, ((0, 0), (0, 0), (1, 0)))
        return outputs
