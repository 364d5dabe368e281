"""The same passes in PyTorch: matmul and what follows it."""

from collections.abc import Callable

import numpy as np
import torch

from tools.gpu_check.operands import Entry


class TorchSteps:
    """A pass forward that records a graph, and a pass back to W, b and V.

    Args:
        entry: Entry.
        values: dict. What `make_arrays` returned.
        compiled: bool. Whether `torch.compile` fuses what follows matmul.
        device: string.
    """

    def __init__(
        self,
        entry: Entry,
        values: dict[str, np.ndarray],
        compiled: bool,
        device: str = "cuda",
    ):
        def put(name):
            return torch.from_numpy(values[name]).to(device)

        dtype = getattr(torch, entry.dtype)
        self._hidden = put("hidden_states").to(dtype)
        names = ["kernel", "bias"] + ["projection"] * entry.projects
        self._weights = [put(name).requires_grad_() for name in names]
        self._gradient = put("output_gradient")
        if not entry.projects:
            self._gradient = self._gradient.to(dtype)
        self._function = _function(entry)
        if compiled:
            torch.compiler.reset()
            self._function = torch.compile(self._function)
        self._output = None
        self._gradients = ()

    def forward(self) -> None:
        """Puts the pass on the stream."""
        self._output = self._function(self._hidden, *self._weights)

    def backward(self) -> None:
        """Puts the pass on the stream; it follows a forward pass."""
        self._gradients = torch.autograd.grad(
            self._output, self._weights, self._gradient
        )

    def results(self) -> dict[str, np.ndarray]:
        """Output and gradients of W, b and V in float64, by name."""
        tensors = (self._output, *self._gradients)
        return {
            name: tensor.detach().double().cpu().numpy()
            for name, tensor in zip(
                ("output", "W", "b", "V"), tensors, strict=False
            )
        }


def _function(entry: Entry) -> Callable:
    equation = "btla,tlac->btc" if entry.positions else "btla,lac->btc"

    def pooled(hidden_states, kernel, bias):
        dtype = hidden_states.dtype
        product = hidden_states @ kernel.to(dtype)
        return torch.nn.functional.gelu(product + bias.to(dtype))

    def projected(hidden_states, kernel, bias, projection):
        y = pooled(hidden_states, kernel, bias)
        return torch.einsum(equation, y, projection.to(y.dtype)).float()

    return projected if entry.projects else pooled
