import threading

import pytest

from bvkeras.cache.ahead import computed_ahead


def test_results_come_in_order():
    assert list(computed_ahead(lambda x: x * x, range(9))) == [
        (x, x * x) for x in range(9)
    ]
    assert list(computed_ahead(str, [])) == []


def test_two_are_computed_at_once():
    both = threading.Barrier(2, timeout=30)
    results = computed_ahead(lambda x: both.wait() >= 0, range(4))
    assert [done for _, done in results] == [True] * 4


def test_items_are_taken_as_they_are_needed():
    taken = []
    results = computed_ahead(str, (taken.append(x) or x for x in range(99)))
    next(results)
    assert len(taken) == 3
    results.close()
    assert len(taken) == 3


def test_failure_comes_at_its_place():
    results = computed_ahead(lambda x: 1 // x, [2, 1, 0, 1])
    assert [next(results) for _ in range(2)] == [(2, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(results)
