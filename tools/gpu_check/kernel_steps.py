"""Both passes of an entry point by the kernels, on arrays that lie ready."""

import ctypes

import numpy as np

from tools.gpu_check.library import (
    DTYPES,
    PASSES,
    STASHES,
    Call,
    Library,
    addresses,
)
from tools.gpu_check.operands import Entry, HostArrays, TorchArrays


class KernelSteps:
    """A pass forward that keeps Z, and a pass back to W, b and V.

    Args:
        library: Library.
        entry: Entry.
        values: dict. What `make_arrays` returned.
        arrays: HostArrays or TorchArrays.
        of_products: bool. Whether matmul makes H W and dW, as bvkeras does
            beyond 128 units.
    """

    def __init__(
        self,
        library: Library,
        entry: Entry,
        values: dict[str, np.ndarray],
        arrays: HostArrays | TorchArrays,
        of_products: bool,
    ):
        self._library = library
        self._arrays = arrays
        self._of_products = of_products
        shape = entry.shape
        pooled = "float32" if entry.projects else entry.dtype
        types = {"hidden_states": entry.dtype, "output_gradient": pooled}
        put = {
            name: arrays.put(value, types.get(name, "float32"))
            for name, value in values.items()
        }
        self._hidden = put["hidden_states"]
        self._kernel = arrays.put(values["kernel"], entry.dtype)
        size = 2 if entry.dtype == "bfloat16" else 4
        rows = shape.batch * shape.tokens * shape.layers
        gradient_size = size if of_products else 4
        outputs = {
            "output": values["output_gradient"].size
            * (4 if entry.projects else size),
            "kernel_gradient": values["kernel"].size * gradient_size,
            "bias_gradient": values["bias"].size * 4,
        }
        if entry.projects:
            outputs["projection_gradient"] = values["projection"].size * 4
        self._written = {
            name: arrays.empty(count) for name, count in outputs.items()
        }
        self._call = Call(
            *(shape.batch, shape.tokens, shape.layers, shape.features),
            *(shape.units, shape.outputs if entry.projects else 0),
            *(entry.positions, DTYPES[entry.dtype], DTYPES[pooled]),
            *(STASHES["none" if of_products else entry.dtype], 1, 0),
        )
        self._kept = [put]
        for name in ("kernel", "bias", "projection", "output_gradient"):
            if name in put:
                setattr(self._call, name, arrays.address(put[name]))
        for name, memory in self._written.items():
            setattr(self._call, name, arrays.address(memory))
        self._point("hidden_states", self._hidden)
        if of_products:
            self._products = arrays.empty(rows * shape.units * size)
            self._gradients = arrays.empty(rows * shape.units * size)
            self._point("products", self._products)
            self._point("gradients", self._gradients)
        else:
            stash = arrays.empty(library.stash_bytes(self._call))
            self._kept.append(stash)
            self._call.stash = arrays.address(stash)
        self._call.stream = arrays.stream
        most = 0
        for name in self._passes:
            self._call.pass_ = PASSES[name]
            most = max(most, library.workspace_bytes(self._call))
        workspace = arrays.empty(most)
        self._kept.append(workspace)
        self._call.workspace = arrays.address(workspace)
        self._shapes = {
            "output": (values["output_gradient"].shape, pooled),
            "W": (
                values["kernel"].shape,
                entry.dtype if of_products else "float32",
            ),
            "b": (values["bias"].shape, "float32"),
        }
        if entry.projects:
            self._shapes["V"] = (values["projection"].shape, "float32")

    @property
    def _passes(self):
        names = ("forward", "backward")
        if self._of_products:
            return tuple(f"{name} of products" for name in names)
        return names

    def forward(self) -> None:
        """Puts the pass on the stream."""
        if self._of_products:
            self._arrays.multiply(self._hidden, self._kernel, self._products)
        self._run(self._passes[0])

    def backward(self) -> None:
        """Puts the pass on the stream; it follows a forward pass."""
        self._run(self._passes[1])
        if self._of_products:
            self._arrays.multiply(
                self._hidden,
                self._gradients,
                self._written["kernel_gradient"],
                transpose=True,
            )

    def results(self) -> dict[str, np.ndarray]:
        """Output and gradients of W, b and V in float64, by name."""
        memory = dict(
            zip(("output", "W", "b", "V"), self._written.values(), strict=False)
        )
        return {
            name: self._arrays.read(memory[name], shape, dtype)
            for name, (shape, dtype) in self._shapes.items()
        }

    def _run(self, name):
        self._call.pass_ = PASSES[name]
        self._library.run(self._call, on_device=True)

    def _point(self, name, array):
        pointers = addresses([self._arrays.address(array)])
        self._kept.append(pointers)
        setattr(self._call, name, ctypes.addressof(pointers))
