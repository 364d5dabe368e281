"""Random inputs and weights of a timed step, and where they lie."""

import dataclasses

import numpy as np

from benchmarks.pooling.sizes import Shape
from tests.ops.parity_cases import rounded
from tools.gpu_check.parity import load, store

_SIZES = {"float32": 4, "bfloat16": 2}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One entry point at one size and in one type.

    Attributes:
        operation: string. `"linear_pooling"` or
            `"linear_pooling_projection"`.
        shape: Shape.
        dtype: string. `"float32"` or `"bfloat16"`.
    """

    operation: str
    shape: Shape
    dtype: str

    @property
    def projects(self) -> bool:
        """Whether it gives P, not Y."""
        return self.operation == "linear_pooling_projection"

    @property
    def positions(self) -> int:
        """Of V; 0: all tokens share it, or there is none."""
        per_position = self.projects and self.shape.per_position
        return self.shape.tokens if per_position else 0

    @property
    def least_bytes(self) -> int:
        """That any way must move in a pass: H, Z kept, the output or its
        gradient, each once."""
        shape = self.shape
        rows = shape.batch * shape.tokens * shape.layers
        size = _SIZES[self.dtype]
        kept = rows * shape.units * size
        output = kept
        if self.projects:
            output = shape.batch * shape.tokens * shape.outputs * 4
        return shape.hidden_numbers * size + kept + output

    def __str__(self) -> str:
        return f"{self.operation}, {self.shape}, {self.dtype}"


def make_arrays(entry: Entry) -> dict[str, np.ndarray]:
    """float32 arrays by name, of values that the entry's type holds.

    `hidden_states`, `kernel`, `bias`, `output_gradient` and, for P,
    `projection`.
    """
    shape = entry.shape
    random = np.random.default_rng(0)
    tokens = (shape.batch, shape.tokens)
    arrays = {
        "hidden_states": random.standard_normal(
            (*tokens, shape.layers, shape.features), np.float32
        ),
        "kernel": random.standard_normal(
            (shape.features, shape.units), np.float32
        )
        * np.float32(shape.features**-0.5),
        "bias": random.standard_normal(shape.units, np.float32),
    }
    output = (*tokens, shape.layers, shape.units)
    if entry.projects:
        output = (*tokens, shape.outputs)
        positions = (entry.positions,) if entry.positions else ()
        arrays["projection"] = random.standard_normal(
            (*positions, shape.layers, shape.units, shape.outputs), np.float32
        )
    arrays["output_gradient"] = random.standard_normal(output, np.float32)
    in_type = ["hidden_states", "kernel"]
    if not entry.projects:
        in_type.append("output_gradient")
    if entry.dtype == "bfloat16":
        for name in in_type:
            values = rounded(arrays[name], "bfloat16")
            arrays[name] = values.astype(np.float32)
    return arrays


class HostArrays:
    """Arrays of the emulated GPU: they lie in the host's memory."""

    stream = None

    def put(self, values: np.ndarray, dtype: str) -> np.ndarray:
        """An array in a type; bfloat16 as uint16."""
        return store(values, dtype)

    def empty(self, num_bytes: int) -> np.ndarray:
        """Memory that no one has written, aligned as a GPU's."""
        memory = np.full(num_bytes + 256, 0xFF, np.uint8)
        first = -memory.ctypes.data % 256
        return memory[first : first + num_bytes]

    def address(self, array: np.ndarray) -> int:
        """Of its first number."""
        return array.ctypes.data

    def read(self, memory: np.ndarray, shape: tuple, dtype: str):
        """Memory as float64 values."""
        stored = np.uint16 if dtype == "bfloat16" else dtype
        return load(memory.view(stored).reshape(shape), dtype)

    def multiply(self, left, right, out, transpose=False):
        """`left @ right`, or `left.T @ right`, into the memory `out`."""
        bfloat16 = left.dtype == np.uint16
        dtype = "bfloat16" if bfloat16 else "float32"
        left, right = load(left, dtype), load(self._like(right, dtype), dtype)
        left = left.reshape(-1, left.shape[-1])
        right = right.reshape(len(left) if transpose else left.shape[1], -1)
        product = store((left.T if transpose else left) @ right, dtype)
        out[...] = product.reshape(-1).view(np.uint8)

    def _like(self, array, dtype):
        if array.dtype != np.uint8:
            return array
        return array.view(np.uint16 if dtype == "bfloat16" else np.float32)


class TorchArrays:
    """Arrays in a GPU's memory, which PyTorch allots.

    Args:
        device: string. `"cuda"`, or `"cpu"` for the emulated GPU.
    """

    def __init__(self, device: str = "cuda"):
        import torch

        self._torch = torch
        self._device = device
        self.stream = None
        if device == "cuda":
            self.stream = torch.cuda.current_stream().cuda_stream

    def put(self, values, dtype):
        """A tensor in a type."""
        torch = self._torch
        tensor = torch.from_numpy(values).to(self._device)
        return tensor.to(getattr(torch, dtype))

    def empty(self, num_bytes):
        """Memory that no one has written."""
        return self._torch.empty(
            max(1, num_bytes), dtype=self._torch.uint8, device=self._device
        )

    def address(self, array):
        """Of its first number."""
        return array.data_ptr()

    def read(self, memory, shape, dtype):
        """Memory as float64 values."""
        values = memory.view(getattr(self._torch, dtype)).reshape(shape)
        return values.double().cpu().numpy()

    def multiply(self, left, right, out, transpose=False):
        """`left @ right`, or `left.T @ right`, into the memory `out`."""
        left = left.reshape(-1, left.shape[-1])
        right = right if right.dtype == left.dtype else right.view(left.dtype)
        right = right.reshape(len(left) if transpose else left.shape[1], -1)
        left = left.T if transpose else left
        result = out.view(left.dtype).reshape(left.shape[0], right.shape[1])
        self._torch.mm(left, right, out=result)
