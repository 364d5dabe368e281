"""KerasTuner's oracles by name."""

import keras_tuner

from bvkeras.errors import ArgumentError
from bvkeras.tuning.durable_oracle import durable

NAMES = ("random", "bayesian", "hyperband", "grid")
# An oracle that learns from results is asked for fewer trials at once.
_AT_ONCE = {"bayesian": 10}
_MOST_AT_ONCE = 100
# Of the trials of Bayesian optimisation: drawn at random, to learn from.
_INITIAL_SHARE = 0.2


def make_oracle(
    name: str,
    objective: keras_tuner.Objective,
    trials: int,
    seed: int,
    max_epochs: int | None = None,
) -> keras_tuner.Oracle:
    """Makes an oracle that survives a kill.

    Args:
        name: str. `"random"`, `"bayesian"`, `"hyperband"` or `"grid"`.
        objective: keras_tuner.Objective.
        trials: int. Most trials; Hyperband's own rule says how many it has.
        seed: int. Seed of what it draws, at least 0.
        max_epochs: int or None. Most passes of a trial, for Hyperband only.

    Raises:
        ArgumentError: there is no such oracle, or an argument is out of its
            range.
    """
    if trials < 1:
        raise ArgumentError(f"trials: expected at least 1, got {trials}")
    if seed < 0:
        raise ArgumentError(f"seed: expected at least 0, got {seed}")
    # KerasTuner takes a seed of zero for none.
    settings = {"objective": objective, "seed": seed + 1}
    oracles = keras_tuner.oracles
    if name == "random":
        oracle = oracles.RandomSearchOracle(max_trials=trials, **settings)
    elif name == "bayesian":
        oracle = oracles.BayesianOptimizationOracle(
            max_trials=trials,
            num_initial_points=max(3, round(_INITIAL_SHARE * trials)),
            **settings,
        )
    elif name == "grid":
        oracle = oracles.GridSearchOracle(max_trials=trials, **settings)
    elif name == "hyperband":
        if not isinstance(max_epochs, int):
            raise ArgumentError(
                f"epochs: expected one number for hyperband, got {max_epochs}"
            )
        oracle = oracles.HyperbandOracle(max_epochs=max_epochs, **settings)
    else:
        raise ArgumentError(
            f"oracle: expected one of {', '.join(NAMES)}, got {name!r}"
        )
    return durable(oracle)


def trials_at_once(name: str, trials: int, workers: int) -> int:
    """How many trials a worker asks for at a time.

    Few enough for every worker to get some twice, and for an oracle to learn.
    """
    most = _AT_ONCE.get(name, _MOST_AT_ONCE)
    if workers > 1:
        most = min(most, -(-trials // (2 * workers)))
    return most
