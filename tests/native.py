"""What tests of the native library share: whether it is there, its variants."""

import os

import pytest

from bvkeras.errors import NativeLibraryError
from bvkeras.ops import library

# Instruction sets the kernels are written for, best first.
VARIANTS = ("avx512bf16", "avx512", "avx2", "portable")


def require_native():
    """Skips where the library is missing; fails where it must not be."""
    try:
        library.load()
    except NativeLibraryError as error:
        if "native" in os.environ.get("BVKERAS_REQUIRE", "").split(","):
            pytest.fail(str(error))
        pytest.skip(str(error))


def force_variant(monkeypatch, variant):
    """Lets the kernels use one instruction set, or skips.

    Args:
        monkeypatch: pytest's fixture.
        variant: string. One of `VARIANTS`.
    """
    require_native()
    from bvkeras._native import kernels

    monkeypatch.setenv("BVKERAS_CPU_VARIANT", variant)
    info = kernels.build_info()
    if info["variant_error"]:
        pytest.skip(info["variant_error"])
    assert info["variant"] == variant
