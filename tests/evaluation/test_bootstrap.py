import numpy as np
import pytest

from bvkeras.evaluation.bootstrap import bootstrap_error, bootstrap_interval


def test_single_rows_have_the_error_of_a_mean():
    values = np.random.default_rng(1).normal(size=400)
    error = bootstrap_error(values, [str(row) for row in range(400)])
    assert error == pytest.approx(values.std() / 20, rel=0.1)


def test_rows_of_a_group_are_drawn_together():
    values = np.repeat(np.random.default_rng(1).normal(size=100), 4)
    groups = [str(row // 4) for row in range(400)]
    error = bootstrap_error(values, groups)
    assert error == pytest.approx(values.std() / 10, rel=0.1)


def test_interval_is_that_of_a_mean():
    values = np.random.default_rng(1).normal(2, size=400)
    low, high = bootstrap_interval(values, [str(row) for row in range(400)])
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_interval_of_two_groups():
    # Both are drawn half of the time, one of them twice a quarter each.
    values = np.array([1.0, 1.0, 4.0])
    assert bootstrap_interval(values, list("aab")) == (1.0, 4.0)


def test_no_difference_has_no_error():
    assert bootstrap_error(np.ones(9), list("aaabbbccc")) == 0


def test_it_is_the_same_each_time():
    # Groups with means of 4, 5, 6 and 7, whatever the order of their rows.
    values = np.arange(12.0)
    groups = list("abcdabcdabcd")
    error = bootstrap_error(values, groups)
    assert error == pytest.approx((1.25 / 4) ** 0.5, rel=0.05)
    np.random.seed(1)
    assert bootstrap_error(values[::-1], groups[::-1]) == error
