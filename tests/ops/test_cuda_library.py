"""What the library says of its CUDA kernels, with and without a GPU."""

import os
import shutil
import subprocess

import pytest
import tensorflow as tf

from bvkeras.errors import NativeLibraryError
from bvkeras.ops import library
from bvkeras.ops.implementation import takes_native
from tests.native import require_native
from tests.ops.test_kernels_sanitized import program


def require_cuda():
    """Skips where the library has no CUDA kernels; fails where it must."""
    require_native()
    if not library._stamp().get("cuda"):
        reason = "the native library was built without CUDA kernels"
        if "cuda" in os.environ.get("BVKERAS_REQUIRE", "").split(","):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def versions(monkeypatch):
    """Sets the stamp's CUDA version, and those of driver and build."""

    def write(cuda, driver=0, build=13000):
        require_native()
        stamp = library._stamp()
        stamp |= {"cuda": cuda, "cuda_architectures": "80;90"}
        monkeypatch.setattr(library, "_stamp", lambda: stamp)
        monkeypatch.setattr(library, "_cuda_versions", lambda: (driver, build))

    return write


def test_no_symbol_of_cuda_is_left_to_others():
    require_cuda()
    listed = subprocess.run(
        [program("nm"), "-D", "--undefined-only", library.path()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "TF_" in listed or "tensorflow" in listed
    names = [line.split()[-1].lower() for line in listed.splitlines()]
    assert not [name for name in names if name.startswith(("cu", "__cu"))]


def test_operations_have_gpu_kernels():
    require_cuda()
    from tensorflow.python.framework import kernels

    library.load()
    for name in (
        "",
        "Grad",
        "HiddenStatesGrad",
        "OfProducts",
        "OfProductsGrad",
    ):
        for operation in ("LinearPooling", "LinearPoolingProjection"):
            registered = kernels.get_registered_kernels_for_op(
                f"Bvkeras{operation}{name}"
            )
            devices = {kernel.device_type for kernel in registered.kernel}
            assert devices == {"CPU", "GPU"}


def test_versions_are_read_from_the_library():
    require_cuda()
    driver, build = library._cuda_versions()
    assert library._dotted(build) == library._stamp()["cuda"]
    if shutil.which("nvidia-smi") is None:
        assert driver == 0
        assert library.gpu_problem() == "there is no CUDA driver"


@pytest.mark.parametrize(
    ("cuda", "driver", "problem"),
    [
        ("", 13000, "built without CUDA kernels"),
        ("13.0", 0, "there is no CUDA driver"),
        ("13.0", 12080, "built with CUDA 13.0, but the driver runs up to 12.8"),
        ("13.0", 13000, None),
        ("13.0", 13020, None),
    ],
)
def test_what_stands_in_the_way_of_a_gpu(cuda, driver, problem, versions):
    versions(cuda, driver)
    assert library.gpu_problem() == problem
    if problem is not None and cuda:
        assert problem in library.describe()


def test_an_old_driver_is_an_error_only_for_who_insists(versions, monkeypatch):
    versions("13.0", 12080)
    monkeypatch.delenv("BVKERAS_IMPLEMENTATION", raising=False)
    assert takes_native("native", tf.float32)
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [f"/{kind}:0"]
    )
    assert not takes_native("auto", tf.float32)
    with pytest.raises(NativeLibraryError, match=r"12\.8; update") as error:
        takes_native("native", tf.float32)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("cuda", ["", "13.0"])
def test_a_gpu_gets_native_kernels_only_when_asked(cuda, versions, monkeypatch):
    versions(cuda, 13000)
    monkeypatch.delenv("BVKERAS_IMPLEMENTATION", raising=False)
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [f"/{kind}:0"]
    )
    assert not takes_native("auto", tf.float32)
    monkeypatch.setenv("BVKERAS_IMPLEMENTATION", "native")
    assert takes_native("auto", tf.float32)
