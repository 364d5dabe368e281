import keras
import numpy as np
import pytest

from bvkeras.training.schedules import WarmupLinearDecay


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def test_closed_formula():
    steps = np.arange(100)
    expected = np.where(
        steps < 10, 3.0 * (steps + 1) / 10, 3.0 * (100 - steps) / 90
    )
    np.testing.assert_allclose(
        rates(WarmupLinearDecay(3.0, 100), steps), expected, rtol=1e-6
    )


def test_first_peak_and_last():
    first, peak, last = rates(WarmupLinearDecay(3.0, 1000), [0, 100, 999])
    np.testing.assert_allclose([first, peak, last], [0.03, 3.0, 3.0 / 900])


@pytest.mark.parametrize("total_steps", [1, 2, 3, 4, 5, 7, 10, 11, 101])
@pytest.mark.parametrize("warmup_fraction", [0.0, 0.1, 0.5, 1.0])
def test_every_step_learns_and_none_too_fast(total_steps, warmup_fraction):
    schedule = WarmupLinearDecay(2.0, total_steps, warmup_fraction)
    values = rates(schedule, range(total_steps))
    assert (values > 0).all()
    assert values.max() == 2.0


@pytest.mark.parametrize("step", [100, 101, 10**6])
def test_zero_when_the_run_is_over(step):
    assert float(WarmupLinearDecay(2.0, 100)(step)) == 0.0


def test_serialisation():
    schedule = WarmupLinearDecay(2.0, 7, 0.25)
    restored = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule)
    )
    assert restored.get_config() == schedule.get_config()
    np.testing.assert_array_equal(
        rates(restored, range(7)), rates(schedule, range(7))
    )


def test_optimizer_asks_it_step_by_step():
    weight = keras.Variable([1.0])
    optimizer = keras.optimizers.SGD(WarmupLinearDecay(1.0, 20))
    moved = []
    for _ in range(3):
        before = weight.numpy()
        optimizer.apply([np.ones(1, np.float32)], [weight])
        moved.append((before - weight.numpy()).item())
    np.testing.assert_allclose(moved, [0.5, 1.0, 18 / 18], rtol=1e-6)
