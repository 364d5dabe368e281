"""The native library's stamp is checked before anything is loaded."""

import json
import pathlib
import re

import pytest
import tensorflow as tf

from bvkeras.errors import NativeLibraryError
from bvkeras.ops import library

_ROOT = pathlib.Path(__file__).parents[2]
GOOD = {
    "bvkeras": "0.1.0",
    "contract_version": library.CONTRACT_VERSION,
    "tensorflow": tf.__version__,
    "cxx11_abi": tf.sysconfig.CXX11_ABI_FLAG,
    "architecture": library.platform.machine(),
    "compiler": "GNU 12.2.0",
    "variants": "portable",
    "cuda": "",
}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Writes what a build leaves; nothing may try to load it."""

    def write(stamp, content=b"not a library"):
        text = stamp if isinstance(stamp, str) else json.dumps(stamp)
        (tmp_path / "stamp.json").write_text(text, encoding="utf-8")
        (tmp_path / "libbvkeras_ops.so").write_bytes(content)

    monkeypatch.setattr(library._native, "__path__", [str(tmp_path)])
    library._load.cache_clear()
    yield write
    library._load.cache_clear()


def test_contract_version_is_that_of_the_header():
    header = (_ROOT / "kernels" / "linear_pooling.h").read_text()
    (version,) = re.findall(r"kContractVersion = (\d+);", header)
    assert int(version) == library.CONTRACT_VERSION


def test_a_good_stamp_has_no_problem():
    assert library.stamp_problem(GOOD) is None


@pytest.mark.parametrize(
    ("stamp", "problem"),
    [
        (
            {**GOOD, "tensorflow": "2.19.0"},
            f"built for tensorflow 2.19.0, but here it is {tf.__version__}",
        ),
        ({**GOOD, "cxx11_abi": 1 - GOOD["cxx11_abi"]}, "built for cxx11_abi"),
        ({**GOOD, "contract_version": 0}, "built for contract_version 0, but"),
        ({**GOOD, "architecture": "m68k"}, "built for architecture m68k, but"),
        ({"reason": "no C++ compiler was found"}, "not built: no C++ compiler"),
        ({}, "stamp.json is not what a build writes"),
        ([], "stamp.json is not what a build writes"),
        ("{", "stamp.json is not what a build writes"),
        ("[" * 99_999, "stamp.json is not what a build writes"),
        ({**GOOD, "variants": 7}, "stamp.json is not what a build writes"),
    ],
)
def test_nothing_is_loaded_by_a_stamp_that_does_not_fit(
    stamp, problem, build, monkeypatch
):
    build(stamp)
    monkeypatch.setattr(
        tf, "load_op_library", lambda path: pytest.fail("was loaded")
    )
    assert not library.is_available()
    with pytest.raises(NativeLibraryError, match=re.escape(problem)) as error:
        library.load()
    assert "\n" not in str(error.value)
    assert library.BUILD_COMMAND in str(error.value)
    assert problem in library.describe()
    assert library.BUILD_COMMAND in library.describe()


def test_a_library_that_cannot_be_loaded_is_one_line(build):
    build(GOOD)
    with pytest.raises(NativeLibraryError, match="cannot be loaded") as error:
        library.load()
    assert "\n" not in str(error.value)


def test_no_build_is_one_line(tmp_path, build):
    with pytest.raises(NativeLibraryError, match="cannot be used: not built;"):
        library.load()
    assert library.describe().startswith("not built; the pure TensorFlow path")
