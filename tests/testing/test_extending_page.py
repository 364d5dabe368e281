import pathlib
import re

import pytest

import bvkeras
from bvkeras.errors import CheckError

_PAGE = pathlib.Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture(scope="module")
def page():
    """What the page's Python defines, run from top to bottom."""
    text = _PAGE.read_text(encoding="utf-8")
    defined = {"__name__": "page"}
    for block in _blocks(text):
        exec(block, defined)
    return defined


def test_python_of_the_page_runs(page):
    assert {"MaxHead", "WeightedLast", "irony"} <= set(page)


def test_the_mistake_of_the_page_is_found_as_it_says():
    text = _PAGE.read_text(encoding="utf-8")
    head = next(b for b in _blocks(text) if "class MaxHead" in b)
    head, count = re.subn(
        r"        if mask is not None:\n.*?(?=        largest)",
        "",
        head,
        count=1,
        flags=re.S,
    )
    assert count
    with pytest.raises(CheckError) as error:
        exec(head, {"__name__": "mistaken"})
    told = re.search(r"^MaxHead, .*: they differ", text, re.M).group()
    assert str(error.value).startswith(told)


def test_every_check_is_on_the_page():
    text = _PAGE.read_text(encoding="utf-8")
    for check in bvkeras.testing.head_checks(bvkeras.models.PoolingRegressor):
        assert f"`{check.name}`" in text


def _blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
