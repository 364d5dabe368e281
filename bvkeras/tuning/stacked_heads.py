"""Many pooled heads trained side by side, each as it would be alone."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from bvkeras.cache.batches import HiddenStateBatches
from bvkeras.ops.hidden_states import zero_padding
from bvkeras.ops.linear_pooling import linear_pooling
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.spec import TaskSpec
from bvkeras.training.head import projection_start
from bvkeras.training.kinds import kind_of
from bvkeras.training.schedules import WarmupLinearDecay
from bvkeras.training.target_scale import AS_THEY_ARE, TargetScale
from bvkeras.tuning.head_settings import HeadSettings

# Columns of one matrix product: what is computed of them stays in the cache
# of a core. See benchmarks/tuning.py.
_BLOCK_UNITS = 256
_BETA_1, _BETA_2, _EPSILON, _CLIP_NORM = 0.9, 0.999, 1e-6, 1.0
# Blocks that may be under way at once: enough for two cores, and few enough
# for memory.
_BLOCKS_AHEAD = 2


class StackedHeads:
    """Heads that share batches, and the product of hidden states with them.

    The heads lie in blocks of equal width. A block is one matrix product: the
    kernels of its heads are the columns of one kernel. Its loss is the sum of
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
        self._blocks = [
            _Block(task, part, settings, members, scale)
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


class _Block:
    """Heads of one width, with dropout or all without.

    Every variable has the heads on its first axis, but for the pooling
    kernel, which has them on its second: `(features, heads, units)`.
    """

    def __init__(self, task, part, settings, members, scale):
        self.members = list(members)
        own = [settings[member] for member in members]
        self._task = task
        self._heads, self._units = len(own), own[0].units
        self._mixes = own[0].pooler == "scalar_mix"
        self._takes_mean = own[0].token_pooling == "mean"
        self._layers = 1 if self._mixes else part.num_layers
        positions = self._layers * self._units
        if not self._takes_mean:
            positions *= part.max_tokens
        # In the order in which a head's model has them.
        starts = {
            "projection": tf.stack(
                [projection_start(s)((positions, task.num_labels)) for s in own]
            ),
            "bias": tf.tile(
                tf.constant(
                    [
                        scale.standardized(
                            kind_of(task.kind).starting_bias(task, part)
                        )
                    ],
                    tf.float32,
                ),
                (self._heads, 1),
            ),
        }
        if self._mixes:
            starts["layer_weights"] = tf.zeros((self._heads, part.num_layers))
            starts["scale"] = tf.ones((self._heads,))
        starts["kernel"] = tf.stack(
            [
                keras.initializers.GlorotUniform(s.seed)(
                    (part.hidden_dim, s.units)
                )
                for s in own
            ],
            axis=1,
        )
        starts["pooling_bias"] = tf.zeros((self._heads, self._units))
        self._weights = {
            name: tf.Variable(start) for name, start in starts.items()
        }
        zeros = {name: tf.zeros_like(start) for name, start in starts.items()}
        self._means = {n: tf.Variable(zero) for n, zero in zeros.items()}
        self._squares = {n: tf.Variable(zero) for n, zero in zeros.items()}
        # What Adam takes away at a rate of one.
        self._steps = {n: tf.Variable(zero) for n, zero in zeros.items()}
        self._dropout = _column(own, "dropout")
        self._seeds = tf.constant([s.seed for s in own], tf.int64)
        self._decay = _column(own, "weight_decay")
        self._projection_rate = _column(own, "projection_rate")

    @property
    def variables(self):
        return [
            *self._weights.values(),
            *self._means.values(),
            *self._squares.values(),
        ]

    def weights(self, place):
        return [
            (value[:, place] if name == "kernel" else value[place]).numpy()
            for name, value in self._weights.items()
        ]

    def set_weights(self, place, weights):
        for (name, variable), value in zip(
            self._weights.items(), weights, strict=True
        ):
            whole = variable.numpy()
            whole[(slice(None), place) if name == "kernel" else place] = value
            variable.assign(whole)

    def outputs(self, hidden_states, mask, step=None):
        """`(heads, batch, outputs)`; with a step, dropout is on."""
        weights = self._weights
        pool = self._pooled_mix if self._mixes else self._pooled
        pooled = pool(
            hidden_states, mask, "recompute" if step is None else "stash"
        )
        if step is not None and self._dropout.any():
            pooled = self._dropped(pooled, step)
        shape = tf.shape(pooled)
        used = self._layers * self._units
        if self._takes_mean:
            tokens = tf.reduce_sum(tf.cast(mask, pooled.dtype), axis=1)
            tokens = tf.maximum(tokens, 1.0)[:, tf.newaxis, tf.newaxis]
            pooled = tf.reduce_sum(pooled, axis=2) / tokens
        else:
            used *= shape[2]
        pooled = tf.reshape(pooled, (self._heads, shape[1], used))
        projected = pooled @ weights["projection"][:, :used]
        return projected + weights["bias"][:, tf.newaxis]

    def train(self, hidden_states, mask, labels, rates, step):
        """One step; gives the heads' losses when it is done."""
        with tf.GradientTape() as tape:
            outputs = self.outputs(hidden_states, mask, step)
            losses = _LOSSES[self._task.kind](outputs, labels)
            loss = tf.reduce_sum(losses)
        names = list(self._weights)
        gradients = tape.gradient(loss, [self._weights[n] for n in names])
        norms = tf.sqrt(
            tf.add_n(
                [
                    _head_sums(name, gradient**2)
                    for name, gradient in zip(names, gradients, strict=True)
                ]
            )
        )
        clip = tf.minimum(1.0 / norms, 1.0 / _CLIP_NORM) * _CLIP_NORM
        number = tf.cast(step + 1, tf.float32)
        ends = [
            self._update(name, gradient, clip, rates, number)
            for name, gradient in zip(names, gradients, strict=True)
        ]
        with tf.control_dependencies(ends):
            return tf.identity(losses)

    def _update(self, name, gradient, clip, rates, number):
        weight, taken = self._weights[name], self._steps[name]
        taken.assign(tf.zeros_like(taken))
        tf.raw_ops.ResourceApplyAdam(
            var=taken.handle,
            m=self._means[name].handle,
            v=self._squares[name].handle,
            beta1_power=_BETA_1**number,
            beta2_power=_BETA_2**number,
            lr=1.0,
            beta1=_BETA_1,
            beta2=_BETA_2,
            epsilon=_EPSILON,
            grad=gradient * _for_heads(name, clip),
        )
        kept = 1.0
        if "bias" not in name:
            kept -= _for_heads(name, rates * self._decay)
        if name == "projection":
            rates = rates * self._projection_rate
        return weight.assign(
            weight * kept + taken.read_value() * _for_heads(name, rates)
        )

    def _pooled(self, hidden_states, mask, keep):
        """`(heads, batch, tokens, layers, units)`."""
        kernel = self._weights["kernel"]
        pooled = linear_pooling(
            hidden_states,
            tf.reshape(kernel, (kernel.shape[0], -1)),
            tf.reshape(self._weights["pooling_bias"], (-1,)),
            mask=mask,
            compute_dtype="float32",
            keep=keep,
        )
        shape = tf.shape(pooled)
        pooled = tf.reshape(pooled, (shape[0], -1, self._heads, self._units))
        pooled = tf.transpose(pooled, (2, 0, 1, 3))
        return tf.reshape(
            pooled,
            (self._heads, shape[0], shape[1], self._layers, self._units),
        )

    def _pooled_mix(self, hidden_states, mask, keep):
        """As `_pooled`, of the heads' own mixes of the layers."""
        del keep
        shares = tf.nn.softmax(self._weights["layer_weights"])
        shares *= self._weights["scale"][:, tf.newaxis]
        states = zero_padding(tf.cast(hidden_states, tf.float32), mask)
        mixed = tf.einsum("btle,kl->kbte", states, shares)
        pooled = tf.einsum("kbte,eka->kbta", mixed, self._weights["kernel"])
        pooled += self._weights["pooling_bias"][:, tf.newaxis, tf.newaxis]
        kept = tf.cast(mask, tf.float32)[tf.newaxis, :, :, tf.newaxis]
        return (tf.nn.gelu(pooled) * kept)[:, :, :, tf.newaxis]

    def _dropped(self, pooled, step):
        """Dropout as `keras.layers.Dropout` draws it for each head's seed."""
        seeds = tf.stack([self._seeds, tf.fill((self._heads,), step)], axis=1)
        # As Keras makes an int32 seed of its generator's state.
        seeds = tf.cast(seeds % (tf.int32.max - 1), tf.int32)
        draws = tf.stack(
            [
                tf.random.stateless_uniform(tf.shape(pooled)[1:], seeds[head])
                for head in range(self._heads)
            ]
        )
        rates = self._dropout.reshape(-1, 1, 1, 1, 1)
        scaled = pooled * (1.0 / (1.0 - rates))
        return tf.where(draws >= rates, scaled, 0.0)


def _block_members(settings):
    """Heads by blocks: equal widths, dropout or none, not too wide."""
    groups: dict[tuple, list[int]] = {}
    for number, own in enumerate(settings):
        groups.setdefault((own.units, own.dropout > 0), []).append(number)
    for (units, _), members in sorted(groups.items()):
        most = max(1, _BLOCK_UNITS // units)
        count = -(-len(members) // most)
        yield from (list(part) for part in np.array_split(members, count))


def _schedule(peak, total_steps):
    """The rate of each step, float32 `(steps,)`."""
    shares = WarmupLinearDecay(1.0, total_steps)(np.arange(total_steps))
    return np.float32(peak) * np.asarray(shares)


def _column(settings, name):
    return np.array([getattr(own, name) for own in settings], np.float32)


def _head_sums(name, values):
    """Sums over all that belongs to a head."""
    axes = [axis for axis in range(values.shape.rank)]
    axes.remove(1 if name == "kernel" else 0)
    return tf.reduce_sum(values, axis=axes)


def _for_heads(name, values):
    """One number a head, to be multiplied with a variable."""
    if name == "kernel":
        return values[tf.newaxis, :, tf.newaxis]
    return tf.reshape(values, (-1, *[1] * (_RANKS[name] - 1)))


_RANKS = {
    "layer_weights": 2,
    "scale": 1,
    "pooling_bias": 2,
    "projection": 3,
    "bias": 2,
}


def _class_losses(outputs, labels):
    labels = tf.tile(labels[tf.newaxis], (tf.shape(outputs)[0], 1))
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels, outputs), axis=1
    )


def _label_losses(outputs, labels):
    labels = tf.broadcast_to(labels[tf.newaxis], tf.shape(outputs))
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs), axis=(1, 2)
    )


def _score_losses(outputs, labels):
    return tf.reduce_mean((outputs[..., 0] - labels) ** 2, axis=1)


# The mean loss of each head, by what `bvkeras tune` can search for.
_LOSSES = {
    Kind.CLASSES: _class_losses,
    Kind.LABELS: _label_losses,
    Kind.SCORE: _score_losses,
}
