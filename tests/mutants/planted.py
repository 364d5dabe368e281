"""Runs tests with a planted module in place of bvkeras' own."""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
FOLDER = pathlib.Path(__file__).parent
# Python imports a module of this name when it starts, so also in processes
# that a test starts. It stands in front of every way to install bvkeras.
_HOOK = """\
import importlib.util
import sys


class Planted:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            return importlib.util.spec_from_file_location(name, {path!r})


sys.meta_path.insert(0, Planted)
"""


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A patch against one module, and the test that must fail with it.

    Args:
        path: path. The patch; its first lines are `Planted: …` and
            `Caught by: FILE::TEST`.
    """

    path: pathlib.Path

    @property
    def test(self) -> str:
        """The test that must fail."""
        return self._found(r"^Caught by: (tests/\S+::\w+)$")

    @property
    def source(self) -> str:
        """The file it changes."""
        return self._found(r"^--- a/(bvkeras/\S+\.py)$")

    def plant(self, folder: pathlib.Path) -> None:
        """Writes the changed module, and what puts it in its place.

        Args:
            folder: path. To be in front of `PYTHONPATH`.
        """
        module = folder / "planted" / self.source
        module.parent.mkdir(parents=True)
        shutil.copy(ROOT / self.source, module)
        done = subprocess.run(
            ["git", "apply", self.path],
            cwd=folder / "planted",
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        name = self.source.removesuffix(".py").replace("/", ".")
        (folder / "sitecustomize.py").write_text(
            _HOOK.format(module=name, path=str(module)), encoding="utf-8"
        )

    def _found(self, pattern):
        (found,) = re.findall(pattern, self.path.read_text("utf-8"), re.M)
        return found


def all_mutants() -> list[Mutant]:
    """The planted bugs there are."""
    return [Mutant(path) for path in sorted(FOLDER.glob("*.patch"))]


def run_tests(
    tests: list[str], *options: str, folder: pathlib.Path | None = None
) -> subprocess.CompletedProcess:
    """Runs tests in a process of their own.

    Args:
        tests: list of str. As pytest takes them.
        *options: str. pytest's.
        folder: path or None. Where a mutant was planted.
    """
    environment = dict(os.environ)
    # Not what a process of xdist has, of which this one is none.
    for name in [n for n in environment if n.startswith("PYTEST_")]:
        del environment[name]
    if folder is not None:
        others = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(folder), *([others] if others else [])]
        )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q"]
    return subprocess.run(
        [*command, *options, *tests],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
