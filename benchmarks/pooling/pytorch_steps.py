"""The same step in PyTorch, where it is installed."""

import importlib.util
from collections.abc import Callable

import tensorflow as tf

from benchmarks.pooling.shapes import Operands

INSTALLED = importlib.util.find_spec("torch") is not None


def steps(operands: Operands, device: str) -> dict[str, Callable]:
    """Eager, compiled and autocast steps by name; none without PyTorch.

    Args:
        operands: Operands, stacked.
        device: string. `"cpu"` or `"gpu"`.
    """
    if not INSTALLED:
        return {}
    import torch

    # It compiles one function for so many shapes and types, and no more.
    torch.compiler.reset()
    place = torch.device("cuda" if device == "gpu" else "cpu")
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    if threads:
        torch.set_num_threads(threads)

    def tensor(value):
        # NumPy has no bfloat16 that PyTorch knows.
        if value.dtype == tf.bfloat16:
            return tensor(tf.cast(value, tf.float32)).to(torch.bfloat16)
        return torch.tensor(value.numpy(), device=place)

    hidden_states = tf.nest.map_structure(tensor, operands.hidden_states)
    weights = [tensor(weight).requires_grad_() for weight in operands.weights]
    per_position = operands.shape.per_position
    equation = "btla,tlac->btc" if per_position else "btla,lac->btc"

    def loss(hidden_states, kernel, bias, projection, d):
        if isinstance(hidden_states, tuple):
            values, scales = hidden_states
            hidden_states = values.float() * scales[..., None]
        product = hidden_states @ kernel + bias
        pooled = torch.nn.functional.gelu(product)
        logits = torch.einsum(equation, pooled, projection) + d
        if per_position:
            logits = logits.sum(1)
        return logits.float().square().mean()

    def step(loss, autocast):
        def run():
            with torch.autocast(place.type, torch.bfloat16, enabled=autocast):
                value = loss(hidden_states, *weights)
            return torch.autograd.grad(value, weights)

        return run

    autocast = operands.stored == "bfloat16"
    kind = "autocast" if autocast else "float32"
    return {
        f"PyTorch eager, {kind}": step(loss, autocast),
        f"PyTorch compiled, {kind}": step(torch.compile(loss), autocast),
    }
