"""The passes of kernels/cuda/launchers.h, by way of ctypes."""

import ctypes
import pathlib

# As kernels/linear_pooling.h and kernels/cuda/launchers.h number them.
DTYPES = {"float32": 0, "bfloat16": 1, "float16": 2, "int8": 3}
STASHES = {"none": 0, "float32": 1, "bfloat16": 2, "float16": 3}
PASSES = {
    "forward": 0,
    "backward": 1,
    "backward of hidden states": 2,
    "forward of products": 3,
    "backward of products": 4,
}
_SIZES = (
    "batch",
    "tokens",
    "layers",
    "features",
    "units",
    "outputs",
    "positions",
)
_CHOICES = (
    "dtype",
    "pooled_dtype",
    "stash_type",
    "stacked",
    "approximate",
    "pass_",
)
_ARRAYS = (
    "hidden_states",
    "scales",
    "mask",
    "lengths",
    "kernel",
    "bias",
    "projection",
    "products",
    "output_gradient",
    "output",
    "stash",
    "kernel_gradient",
    "bias_gradient",
    "projection_gradient",
    "gradients",
    "workspace",
    "stream",
)


class KernelError(RuntimeError):
    """What a pass says is wrong."""


class Call(ctypes.Structure):
    """What kernels/gpu_check/c_api.cc takes; arrays are addresses."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_int32) for name in _CHOICES),
        *((name, ctypes.c_void_p) for name in _ARRAYS),
    )


def addresses(numbers: list[int]) -> ctypes.Array:
    """A C array of pointers; it must outlive the call that reads it."""
    return (ctypes.c_void_p * len(numbers))(*numbers)


class Library:
    """What `Builder.library` built.

    Args:
        path: path. The shared library.
    """

    def __init__(self, path: pathlib.Path):
        self._loaded = ctypes.CDLL(str(path))
        for name in ("StashBytes", "WorkspaceBytes"):
            getattr(self._loaded, name).restype = ctypes.c_int64
        for name in ("RunOnDeviceArrays", "RunOnHostArrays"):
            getattr(self._loaded, name).restype = ctypes.c_char_p

    def problem(self) -> str | None:
        """Why the kernels cannot run here; `None` where they can."""
        driver = self._loaded.DriverVersion()
        build = self._loaded.BuildVersion()
        if driver == 0:
            return "there is no NVIDIA driver"
        if driver // 1000 < build // 1000:
            return f"the driver knows CUDA {driver}, the build is of {build}"
        return None

    def stash_bytes(self, call: Call) -> int:
        """Bytes of the stash."""
        return self._loaded.StashBytes(ctypes.byref(call))

    def workspace_bytes(self, call: Call) -> int:
        """Bytes of the workspace of the call's pass."""
        return self._loaded.WorkspaceBytes(ctypes.byref(call))

    def run(self, call: Call, on_device: bool = False) -> None:
        """Runs the call's pass.

        Args:
            call: Call.
            on_device: bool. Whether its arrays lie in the device's memory;
                then the call does not wait for the result. Defaults to
                `False`: the host's, which are copied.

        Raises:
            KernelError: The sizes are beyond a GPU's, CUDA says something is
                wrong, or a pass wrote beyond an array.
        """
        name = "RunOnDeviceArrays" if on_device else "RunOnHostArrays"
        error = getattr(self._loaded, name)(ctypes.byref(call))
        if error is not None:
            raise KernelError(error.decode())
