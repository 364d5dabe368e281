"""Builds the sdist, and from it the wheels: pure, and native.

The pure wheel, `py3-none-any`, holds no compiled code and runs anywhere. A
native library works with the TensorFlow it was built for and no other, so its
wheel carries that in its version, `0.1.0+tf2.21.0`, and requires it; with
`--cuda` it is `+tf2.21.0.cuda`. It is built for the Python and the TensorFlow
that run this, which need cmake, ninja, pybind11 and scikit-build-core.

    python -m tools.build_wheels sdist pure native --output dist
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import metadata

ROOT = pathlib.Path(__file__).parents[1]
KINDS = ("sdist", "pure", "native")


def build_sdist(output: pathlib.Path) -> pathlib.Path:
    """Writes the sdist into a folder; gives its path."""
    return _built("sdist", ROOT, output)


def build_pure(sdist: pathlib.Path, output: pathlib.Path) -> pathlib.Path:
    """Writes the wheel without compiled code; gives its path."""
    with tempfile.TemporaryDirectory() as folder:
        source = _unpacked(sdist, folder)
        return _built("wheel", source, output, BVKERAS_PURE="1")


def build_native(
    sdist: pathlib.Path, output: pathlib.Path, cuda: bool = False
) -> pathlib.Path:
    """Writes the wheel with the native library; gives its path.

    Args:
        sdist: path. What `build_sdist` wrote.
        output: path. A folder.
        cuda: bool. Whether with CUDA kernels. Defaults to `False`.

    Raises:
        SystemExit: the library cannot be built, or was built for another
            TensorFlow than the wheel says.
    """
    tensorflow = metadata.version("tensorflow")
    label = f"tf{tensorflow}" + (".cuda" if cuda else "")
    with tempfile.TemporaryDirectory() as folder:
        source = _unpacked(sdist, folder)
        project = source / "pyproject.toml"
        text = project.read_text(encoding="utf-8")
        project.write_text(labelled(text, label, tensorflow), encoding="utf-8")
        # Assertions name their file, and nobody needs this machine's paths.
        packages = metadata.distribution("tensorflow").locate_file("")
        flags = [f"-ffile-prefix-map={p}/=" for p in (source, packages)]
        wheel = _built(
            "wheel",
            source,
            output,
            BVKERAS_REQUIRE_NATIVE="1",
            BVKERAS_CUDA=str(int(cuda)),
            CXXFLAGS=" ".join([os.environ.get("CXXFLAGS", ""), *flags]),
        )
    with zipfile.ZipFile(wheel) as archive:
        stamp = json.loads(archive.read("bvkeras/_native/stamp.json"))
    if stamp["tensorflow"] != tensorflow:
        wheel.unlink()
        raise SystemExit(
            f"{wheel.name}: was built for TensorFlow {stamp['tensorflow']}"
        )
    return wheel


def labelled(project: str, label: str, tensorflow: str) -> str:
    """`pyproject.toml` with a local version, for one TensorFlow.

    Args:
        project: str. The file's text.
        label: str. What comes after the `+` of the version.
        tensorflow: str. The version to require.

    Raises:
        SystemExit: the version or the requirement is not found once.
    """
    for pattern, new in (
        (r'^version = "([^"+]+)"$', rf'version = "\1+{label}"'),
        (r'^  "tensorflow>=[^"]*",$', f'  "tensorflow=={tensorflow}",'),
    ):
        project, count = re.subn(pattern, new, project, flags=re.MULTILINE)
        if count != 1:
            raise SystemExit(
                f"pyproject.toml: expected one line {pattern}, found {count}"
            )
    return project


def _unpacked(sdist: pathlib.Path, folder: str) -> pathlib.Path:
    with tarfile.open(sdist) as archive:
        # Python 3.11 has it from its fourth release on.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **safe)
    return next(pathlib.Path(folder).iterdir())


def _built(
    kind: str, source: pathlib.Path, output: pathlib.Path, **environment: str
) -> pathlib.Path:
    """What the build backend, in a process of its own, wrote."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as folder:
        script = (
            "from scikit_build_core import build; "
            f"build.build_{kind}({folder!r})"
        )
        inherited = {k: v for k, v in os.environ.items() if k != "BVKERAS_PURE"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=source,
            env={**inherited, **environment},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{kind}: {done.stdout}{done.stderr}")
        (built,) = pathlib.Path(folder).iterdir()
        return built.replace(output / built.name)


def main() -> None:
    """Builds what was asked for, and prints a line for each file."""
    parser = argparse.ArgumentParser(description="sdist and wheels")
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "dist")
    parser.add_argument("--cuda", action="store_true", help="CUDA kernels too")
    options = parser.parse_args()
    output = options.output.resolve()
    files = [build_sdist(output)]
    if "pure" in options.kinds:
        files.append(build_pure(files[0], output))
    if "native" in options.kinds:
        files.append(build_native(files[0], output, options.cuda))
    for file in files:
        print(f"{file} ({file.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
