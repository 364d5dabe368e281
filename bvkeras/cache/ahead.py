"""Computing a few batches ahead, in order."""

import collections
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_WORKERS = 2


def computed_ahead(
    function: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Generator[tuple[_Item, _Result], None, None]:
    """Calls a function on each item, two at a time, and gives them in order.

    Two batches at once keep the cores busy where one batch has to wait for
    its slowest thread, and while the caller works on an earlier result. Three
    results are held at most.

    Args:
        function: callable of an item; it has to let go of Python's lock, as
            TensorFlow does.
        items: iterable. Taken as they are needed.

    Yields:
        An item, and what the function gave; raises what it raised.
    """
    waiting: collections.deque[tuple[_Item, Future]] = collections.deque()
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(function, item)))
                if len(waiting) > _WORKERS:
                    item, future = waiting.popleft()
                    yield item, future.result()
            while waiting:
                item, future = waiting.popleft()
                yield item, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
