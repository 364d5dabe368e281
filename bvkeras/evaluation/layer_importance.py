"""How much each hidden state has to say in a pooled head's outputs."""

import os
import pathlib
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bvkeras import fileio
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import naming_damage
from bvkeras.errors import ArgumentError
from bvkeras.models.pooling_model import PoolingModel
from bvkeras.models.pooling_tagger import PoolingTagger
from bvkeras.models.weighted_probe import WeightedProbe
from bvkeras.schema import NUMBER, OBJECT, list_of, record_of
from bvkeras.training.head import TrainedHead

_FILE = "layer_importance.json"
_BATCH_SIZE = 32
_SCHEMA = record_of(importance=list_of(NUMBER), settings=OBJECT)


def layer_importance(
    head: TrainedHead,
    cache: HiddenStateCache,
    directory: str | os.PathLike,
) -> list[float]:
    """The importance of each of a head's layers, measured once.

    Written to `layer_importance.json`; done before, it is read.

    Args:
        head: TrainedHead.
        cache: HiddenStateCache. Of the examples it is measured on.
        directory: str or path. Where the file goes.

    Returns:
        list of float, one for each hidden state of the cache; see
        `measure_importance`.

    Raises:
        CacheError: a shard of the cache is damaged.
        RunError: the file is there and was made with something else.
    """
    path = pathlib.Path(directory) / _FILE
    settings = {
        "head": fileio.file_digest(head.model_path),
        "cache": cache.manifest.identity,
    }
    if path.exists():
        record = fileio.read_json(path, _SCHEMA)
        fileio.require_same(path, record["settings"], settings)
        return record["importance"]
    importance = measure_importance(
        head.load_model(), cache, head.task.several_labels
    )
    fileio.write_json(path, {"importance": importance, "settings": settings})
    return importance


def measure_importance(
    model: keras.Model,
    cache: HiddenStateCache,
    several_labels: bool = False,
) -> list[float]:
    """The size of each layer's contribution to a head's outputs.

    A head's outputs are a sum over layers. Of each layer's part is left out
    what is the same for all classes, which changes no decision, and what is
    the same for all examples, which is a bias; of spans, what is the same for
    all tokens of a window. The importance is the root mean square, over
    examples, of the norm of the rest; of spans and tags over tokens. Of
    several labels
    a text each logit decides by itself, and all of it counts.

    With `pooler="scalar_mix"` layers are mixed before they are pooled; then
    the importance is the weight of each layer in the mix, and they add up
    to 1.

    Args:
        model: `PoolingModel` or `WeightedProbe`.
        cache: HiddenStateCache of the layers the model was trained on.
        several_labels: bool. Whether the outputs are those of labels of which
            a text has any number. Defaults to `False`.

    Returns:
        list of float, one for each hidden state, that of the embeddings
        first; in units of the outputs (logits, or scores of regression).

    Raises:
        ArgumentError: `model` is no pooled head.
        CacheError: a shard of the cache is damaged.
    """
    if not isinstance(model, PoolingModel | WeightedProbe):
        raise ArgumentError(
            f"model: expected a pooled head, got {type(model).__name__}"
        )
    if isinstance(model, PoolingModel) and model.scalar_mix is not None:
        weights = keras.ops.softmax(model.scalar_mix.layer_weights)
        return [float(weight) for weight in keras.ops.convert_to_numpy(weights)]
    contributions = None
    parts, squares, sums, tokens = [], 0.0, 0.0, 0
    with naming_damage(cache):
        for batch in cache.batches(_BATCH_SIZE, dtype=cache.dtype):
            hidden_states = batch["hidden_states"]
            if "scales" in batch:
                hidden_states = (hidden_states, batch["scales"])
            inputs = (hidden_states, batch["mask"])
            if contributions is None:
                contributions = _traced(model, inputs)
            found = contributions(*inputs).numpy()
            found = found.astype(np.float64)
            if not model.per_token:
                parts.append(found.sum(axis=1))
                continue
            if isinstance(model, PoolingTagger):
                values = found[batch["mask"].numpy().astype(bool)]
                values -= values.mean(axis=-1, keepdims=True)
                tokens += len(values)
                sums = sums + values.sum(axis=0)
                squares = squares + np.square(values).sum(axis=(0, 2))
                continue
            for values, mask in zip(found, batch["mask"].numpy(), strict=True):
                values = values[np.asarray(mask, bool)]
                tokens += len(values)
                values -= values.mean(axis=0)
                squares = squares + np.square(values).sum(axis=(0, 2))
    if model.per_token:
        # Of spans nothing is left of a mean.
        means = np.square(sums / tokens)
        rest = squares / tokens - np.atleast_2d(means.T).sum(axis=0)
        return np.sqrt(np.maximum(rest, 0.0)).tolist()
    # `(examples, layers, outputs)`
    values = np.concatenate(parts)
    if values.shape[-1] > 1 and not several_labels:
        values -= values.mean(axis=-1, keepdims=True)
    values -= values.mean(axis=0)
    return np.sqrt(np.square(values).sum(axis=-1).mean(axis=0)).tolist()


def _traced(model: keras.Model, inputs: tuple) -> Callable[..., tf.Tensor]:
    """The contributions as a graph for batches of every size and length."""
    signature = tf.nest.map_structure(
        lambda tensor: tf.TensorSpec(
            (None, None, *tensor.shape[2:]), tensor.dtype
        ),
        inputs,
    )
    return tf.function(
        lambda *arguments: model.layer_contributions(*arguments),
        input_signature=signature,
        autograph=False,
    ).get_concrete_function()
