"""What the sdist and the wheels hold, and that they are enough."""

import json
import pathlib
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata

import pytest

import bvkeras
from tests.native import require_native
from tools import build_wheels

ROOT = pathlib.Path(__file__).parents[2]
DATA = {
    "bvkeras/py.typed",
    "bvkeras/reports/report.schema.json",
    "bvkeras/reports/templates/report.html",
    "bvkeras/serving/rest/page/page.html",
    "bvkeras/serving/rest/page/static/icon.svg",
    "bvkeras/serving/rest/page/static/page.css",
    "bvkeras/serving/rest/page/static/page.js",
}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build_wheels.build_sdist(tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def pure(sdist):
    return build_wheels.build_pure(sdist, sdist.parent)


def modules():
    """The package's Python files, as they lie in a checkout."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bvkeras").rglob("*.py")
    }


def test_sdist_holds_what_is_built_and_nothing_else(sdist):
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    folder = f"bvkeras-{bvkeras.__version__}/"
    assert all(name.startswith(folder) for name in names)
    files = {name.removeprefix(folder) for name in names}
    kernels = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "kernels").rglob("*")
        if path.is_file()
        and path.relative_to(ROOT).parts[1] not in ("tests", "host_emulation")
        and "__pycache__" not in path.parts
    }
    assert files == {
        *modules(),
        *DATA,
        *kernels,
        *("CHANGELOG.md", "CMakeLists.txt", "LICENSE", "README.md"),
        *("PKG-INFO", "pyproject.toml"),
    }
    assert sdist.stat().st_size < 1 << 20


def test_pure_wheel_is_for_any_machine(pure):
    assert pure.name == f"bvkeras-{bvkeras.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(pure) as archive:
        files = set(archive.namelist())
        information = archive.read(
            f"bvkeras-{bvkeras.__version__}.dist-info/WHEEL"
        )
    assert {f for f in files if ".dist-info/" not in f} == modules() | DATA
    assert b"Root-Is-Purelib: true" in information


def test_a_wheel_says_for_which_tensorflow_it_is():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = build_wheels.labelled(text, "tf2.30.1", "2.30.1").splitlines()
    changed = set(lines) - set(text.splitlines())
    assert changed == {
        f'version = "{bvkeras.__version__}+tf2.30.1"',
        '  "tensorflow==2.30.1",',
    }


def test_a_requirement_that_is_not_found_is_told():
    with pytest.raises(SystemExit, match=r"expected one line .*tensorflow>="):
        build_wheels.labelled('version = "0.1.0"\n', "tf2.30.1", "2.30.1")


@pytest.mark.full
def test_native_wheel_loads_in_its_tensorflow(sdist, tmp_path):
    require_native()
    wheel = build_wheels.build_native(sdist, tmp_path)
    tensorflow = metadata.version("tensorflow")
    assert wheel.name.startswith(
        f"bvkeras-{bvkeras.__version__}+tf{tensorflow}-cp"
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "wheel")
    native = tmp_path / "wheel" / "bvkeras" / "_native"
    stamp = json.loads((native / "stamp.json").read_text())
    assert stamp["tensorflow"] == tensorflow
    information = next((tmp_path / "wheel").glob("*.dist-info"))
    requirements = (information / "METADATA").read_text(encoding="utf-8")
    assert f"Requires-Dist: tensorflow=={tensorflow}\n" in requirements
    library = native / "libbvkeras_ops.so"
    # Neither the folder it was built in, nor where TensorFlow lay.
    assert str(tmp_path).encode() not in library.read_bytes()
    assert sys.prefix.encode() not in library.read_bytes()
    script = f"import tensorflow as tf; tf.load_op_library({str(library)!r})"
    subprocess.run([sys.executable, "-c", script], check=True)
