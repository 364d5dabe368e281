"""Installs the pure wheel into an empty environment, and uses it there.

With the extra `serve` and all that bvkeras requires, as a stranger's `pip
install` does. Nothing of the checkout is on the path of what runs there.

    python -m tools.check_wheel

builds that wheel first; the path of another one may follow.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import venv

from tools import build_wheels

ROOT = pathlib.Path(__file__).parents[1]
ENCODER = ROOT / "tests" / "parity" / "tiny_tanh"

# Runs in the new environment: every public name, and a model from texts.
_SCRIPT = """
import sys
import types

import bvkeras
import bvkeras.serving.rest.server

assert sys.prefix in bvkeras.__file__, bvkeras.__file__
for name in bvkeras.__all__:
    public = getattr(bvkeras, name)
    if isinstance(public, types.ModuleType):
        for name in getattr(public, "__all__", ()):
            assert getattr(public, name) is not None, name

texts = ["dull and long", "a joy", "too long", "pure joy"] * 8
labels = ["bad", "good", "bad", "good"] * 8
model = bvkeras.TextClassifier.from_preset(sys.argv[1])
model.fit(texts, labels, epochs=5)
assert set(model.predict(["what a joy", "so long"])) <= {"bad", "good"}
print(f"scores of {len(texts)} texts: {model.evaluate(texts, labels)}")
"""


def check(wheel: pathlib.Path | None = None) -> None:
    """Installs and uses a wheel; prints what each step took.

    Args:
        wheel: path or None. Defaults to `None`: the pure one, built first.

    Raises:
        SystemExit: a step failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        if wheel is None:
            sdist = build_wheels.build_sdist(folder)
            wheel = build_wheels.build_pure(sdist, folder)
        environment = folder / "environment"
        venv.create(environment, with_pip=True)
        bin_folder = environment / "bin"
        python = str(bin_folder / "python")
        # Most of what is installed is not imported: it need not be compiled.
        install = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
        script = folder / "script.py"
        script.write_text(_SCRIPT, encoding="utf-8")
        bvkeras = str(bin_folder / "bvkeras")
        for step in (
            [*install, f"{wheel.resolve()}[serve]"],
            [python, "-m", "pip", "check"],
            [bvkeras, "--help"],
            [bvkeras, "doctor"],
            [python, str(script), str(ENCODER)],
        ):
            _run(step, folder)


def _run(command: list[str], folder: pathlib.Path) -> None:
    started = time.monotonic()
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=folder, env=inherited, capture_output=True, text=True
    )
    shown = " ".join(pathlib.Path(part).name for part in command)
    if done.returncode:
        sys.exit(f"{shown}:\n{done.stdout}{done.stderr}")
    print(f"{time.monotonic() - started:6.1f} s  {shown}", flush=True)


def main() -> None:
    """Checks the wheel that was named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", nargs="?", type=pathlib.Path)
    check(parser.parse_args().wheel)


if __name__ == "__main__":
    main()
