"""The devices and hosts that take a step together: the class `Replicas`."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from bvkeras.errors import RunError


class Replicas:
    """What a step needs of a `tf.distribute` strategy; of none, one device.

    Args:
        strategy: tf.distribute.Strategy, or None. `MirroredStrategy` or
            `MultiWorkerMirroredStrategy`.

    Attributes:
        count: int. Replicas of all processes.
        local: range. Numbers of those of this process.
        worker: int. This process' number.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self._strategy = strategy or tf.distribute.get_strategy()
        self.count = self._strategy.num_replicas_in_sync
        here = len(self._local(self.distributed_from(lambda: 0)))
        self.worker = _worker(getattr(strategy, "cluster_resolver", None))
        self.local = range(self.worker * here, (self.worker + 1) * here)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what all have come to."""
        return self.worker == 0

    @property
    def several_hosts(self) -> bool:
        """Whether there are other processes."""
        return len(self.local) < self.count

    def distributed_from(self, value: Callable[[], Any]) -> Any:
        """What a function gives for each replica of this process, in turn."""
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: value()
        )

    def distributed(self, values: Sequence[Any]) -> Any:
        """One value for each replica of this process."""
        values = [
            tf.nest.map_structure(tf.convert_to_tensor, v) for v in values
        ]
        if self.count == 1:
            return values[0]
        return self.distributed_from(functools.partial(next, iter(values)))

    def run(self, function: Callable[[Any], Any], value: Any) -> Any:
        """Calls a function on each replica with its value."""
        return self._strategy.run(function, (value,))

    def add(self, first: Any, second: Any) -> Any:
        """Sums of two lists of tensors, on each replica."""
        return self._add(first, second)

    @functools.cached_property
    def _add(self) -> Callable[[Any, Any], Any]:
        @tf.function(autograph=False)
        def add(first, second):
            return self._strategy.run(
                lambda a, b: [x + y for x, y in zip(a, b, strict=True)],
                (first, second),
            )

        return add

    def sum(self, values: Sequence[Any]) -> list[tf.Tensor]:
        """Sums over all replicas of all processes, in a graph."""

        def all_reduce(values):
            return tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.SUM,
                # On the replica's device, which the sum is asked for there.
                [tf.identity(value) for value in values],
            )

        summed = self._strategy.run(all_reduce, (list(values),))
        return [self._local(value)[0] for value in summed]

    def wait_for_all(self) -> None:
        """Returns when every process has come here."""
        if not self.several_hosts:
            return

        @tf.function(autograph=False)
        def meet():
            one = self._strategy.run(lambda: tf.ones(()))
            return self._strategy.reduce("SUM", one, axis=None)

        meet()

    def _local(self, value: Any) -> tuple:
        return self._strategy.experimental_local_results(value)


def lost_worker(error: tf.errors.OpError) -> RunError:
    """What is raised when another process is gone."""
    return RunError(
        "another worker ended or cannot be reached "
        f"({type(error).__name__}); the same commands, all begun anew, go on "
        "from the last saved state"
    )


def _worker(resolver: Any) -> int:
    """The number of a process in `TF_CONFIG`, the chief first."""
    if resolver is None or not resolver.task_type:
        return 0
    has_chief = "chief" in resolver.cluster_spec().jobs
    is_chief = resolver.task_type == "chief"
    return 0 if is_chief else resolver.task_id + has_chief
