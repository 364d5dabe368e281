"""Many pooled heads trained side by side, each as it would be alone."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.tasks.kind import WEIGHTED
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.schedules import WarmupLinearDecay
from bvkeras.training.target_scale import AS_THEY_ARE, TargetScale
from bvkeras.tuning.head_block import HeadBlock
from bvkeras.tuning.head_settings import HeadSettings
from bvkeras.tuning.pooling_block import PoolingBlock
from bvkeras.tuning.weighted_block import WeightedBlock

# Columns of one matrix product: what is computed of them stays in the cache
# of a core. See benchmarks/tuning.py.
_BLOCK_UNITS = 256
# A head of weighted means counts for so many: 16 of them make a block.
_WEIGHTED_UNITS = 16
# Blocks that may be under way at once: enough for two cores, and few enough
# for memory.
_BLOCKS_AHEAD = 2


class StackedHeads:
    """Heads that share batches, and the product of hidden states with them.

    The heads lie in blocks of equal width. A block is one matrix product: the
    kernels of its heads are the columns of one kernel; of heads of weighted
    means, their queries. Its loss is the sum of
    theirs, so each gets the gradient it would get alone; gradients are
    clipped and the steps of AdamW scaled head by head, and dropout draws what
    the head's own layer would draw.

    What is equal to `bvkeras.training.head.build_head` compiled with
    `bvkeras.training.optimizers.adamw`: starts, losses, schedules, clipping,
    decay, dropout. Sums are made in another order; the results differ by
    their rounding.

    Args:
        task: TaskSpec.
        part: HiddenStateBatches of the training rows. Gives sizes and labels.
        settings: sequence of HeadSettings of one `group`.
        total_steps: sequence of int. Steps each head's rate is spread over.
        spec: the `element_spec` of the batches, `((hidden_states, mask),
            labels)`.
        scale: TargetScale. What the labels of the batches are standardised
            by. Defaults to none: they are as in `part`.
    """

    def __init__(
        self,
        task: TaskSpec,
        part: HiddenStateBatches,
        settings: Sequence[HeadSettings],
        total_steps: Sequence[int],
        spec: tuple,
        scale: TargetScale = AS_THEY_ARE,
    ):
        self._spec = spec
        self._schedules = [
            _schedule(s.learning_rate, steps)
            for s, steps in zip(settings, total_steps, strict=True)
        ]
        self._settings = list(settings)
        is_weighted = settings[0].pooler == WEIGHTED
        block = WeightedBlock if is_weighted else PoolingBlock
        self._blocks: list[HeadBlock] = [
            block(task, part, settings, members, scale)
            for members in _block_members(settings)
        ]
        self._live_blocks = list(self._blocks)
        self._live = np.ones(len(settings), bool)
        self._step = tf.Variable(0, dtype=tf.int64)
        self._trace()

    def train(self, inputs, labels) -> np.ndarray:
        """One optimizer step of every head that has not been stopped.

        Args:
            inputs: pair `(hidden_states, mask)`.
            labels: tensor `(batch,)`, of several labels a text
                `(batch, labels)`.

        Returns:
            The mean losses in front of the step, float32 `(heads,)`; zero for
            heads without a block.
        """
        step = int(self._step.numpy())
        rates = np.array(
            [
                schedule[step] if live else 0.0
                for schedule, live in zip(
                    self._schedules, self._live, strict=True
                )
            ],
            np.float32,
        )
        losses = np.zeros(len(self._settings), np.float32)
        found = self._train(*inputs, labels, rates)
        for block, own in zip(self._live_blocks, found, strict=True):
            losses[block.members] = own.numpy()
        return losses

    def outputs(self, inputs) -> np.ndarray:
        """What the heads predict, `(heads, batch, outputs)`.

        Args:
            inputs: pair `(hidden_states, mask)`.
        """
        found = self._predict(*inputs)
        results = np.zeros(
            (len(self._settings), *found[0].shape[1:]), np.float32
        )
        for block, outputs in zip(self._live_blocks, found, strict=True):
            results[block.members] = outputs.numpy()
        return results

    def stop(self, head: int) -> None:
        """Trains a head no further; a block without heads costs nothing."""
        self._live[head] = False
        blocks = self._live_blocks
        self._live_blocks = [
            block for block in blocks if self._live[block.members].any()
        ]
        if len(self._live_blocks) < len(blocks):
            self._trace()

    @property
    def live(self) -> np.ndarray:
        """Which heads are still trained, bool `(heads,)`."""
        return self._live.copy()

    def weights(self, head: int) -> list[np.ndarray]:
        """A head's weights, as `get_weights` of its model gives them."""
        block = self._block_of(head)
        return block.weights(block.members.index(head))

    def set_weights(self, head: int, weights: Sequence[np.ndarray]) -> None:
        """Gives a head other weights to start from."""
        block = self._block_of(head)
        block.set_weights(block.members.index(head), weights)

    @property
    def variables(self) -> list[tf.Variable]:
        """Everything that changes in training, in a fixed order."""
        return [self._step, *(v for b in self._blocks for v in b.variables)]

    def _block_of(self, head):
        return next(block for block in self._blocks if head in block.members)

    def _trace(self) -> None:
        """Functions for the blocks that are trained now."""
        blocks = list(self._live_blocks)

        def train(hidden_states, mask, labels, rates):
            step = tf.identity(self._step)
            ends: list[tf.Tensor] = []
            for number, block in enumerate(blocks):
                waits = ends[: max(0, number - _BLOCKS_AHEAD + 1)][-1:]
                with tf.control_dependencies(waits):
                    states = tf.identity(hidden_states)
                ends.append(
                    block.train(
                        states,
                        mask,
                        labels,
                        tf.gather(rates, block.members),
                        step,
                    )
                )
            with tf.control_dependencies(ends):
                self._step.assign_add(1)
            return ends

        def predict(hidden_states, mask):
            return [block.outputs(hidden_states, mask) for block in blocks]

        inputs, labels = self._spec
        rates = tf.TensorSpec((len(self._settings),), tf.float32)
        self._train = tf.function(
            train, [*inputs, labels, rates], autograph=False
        )
        self._predict = tf.function(predict, inputs, autograph=False)


def _block_members(settings):
    """Heads by blocks: equal widths, dropout or none, not too wide."""
    groups: dict[tuple, list[int]] = {}
    for number, own in enumerate(settings):
        # Of weighted means nothing has a width.
        units = _WEIGHTED_UNITS if own.pooler == WEIGHTED else own.units
        groups.setdefault((units, own.dropout > 0), []).append(number)
    for (units, _), members in sorted(groups.items()):
        most = max(1, _BLOCK_UNITS // units)
        count = -(-len(members) // most)
        yield from (list(part) for part in np.array_split(members, count))


def _schedule(peak, total_steps):
    """The rate of each step, float32 `(steps,)`."""
    shares = WarmupLinearDecay(1.0, total_steps)(np.arange(total_steps))
    return np.float32(peak) * np.asarray(shares)
