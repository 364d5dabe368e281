"""Several processes, here or on other machines, that write one cache."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import time
from collections.abc import Iterator, Sequence
from typing import Any

from bvkeras import fileio
from bvkeras.cache import claims
from bvkeras.cache.claims import Claims
from bvkeras.cache.format import MANIFEST_FILE, SHARD_SCHEMA, Manifest, Shard
from bvkeras.cache.shard_file import write_shard
from bvkeras.cache.shard_maker import ShardMaker
from bvkeras.errors import CacheError, RunError
from bvkeras.progress import progress_bar
from bvkeras.schema import OBJECT, POSITIVE, SECONDS, TEXT, record_of

WORKERS_FOLDER = ".workers"

_PLAN_FILE = "plan.json"
_PLAN_SCHEMA = record_of(
    identity=OBJECT, max_batch_tokens=POSITIVE, threads=POSITIVE,
    computed_by=TEXT, writer=TEXT, shard_bytes=POSITIVE,
)  # fmt: skip
_RECORD_SCHEMA = record_of(shard=SHARD_SCHEMA, seconds=SECONDS)
_MANIFEST_CLAIM = "manifest"
_LOOK_SECONDS = 0.5
_LOCK_SECONDS = 60.0


def is_shared(directory: pathlib.Path) -> bool:
    """Whether several processes write, or wrote, the cache in a folder."""
    return (directory / WORKERS_FOLDER / _PLAN_FILE).exists()


def remove_workers(directory: pathlib.Path) -> None:
    """Removes what processes that share a folder keep beside the shards."""
    folder = directory / WORKERS_FOLDER
    (folder / _PLAN_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def join_writing(directory: pathlib.Path, plan: dict[str, Any]) -> int:
    """Begins to write a cache together, or finds others at it.

    Args:
        directory: path. The cache's folder, held by this process.
        plan: dict. `identity`, `max_batch_tokens`, `threads`, `computed_by`,
            `writer`: what must be the same for all, as it decides the bytes;
            and `shard_bytes`.

    Returns:
        int. The `shard_bytes` that the first process came with.

    Raises:
        RunError: the others write with another plan.
    """
    path = directory / WORKERS_FOLDER / _PLAN_FILE
    if not path.exists():
        fileio.write_json(path, plan)
        return plan["shard_bytes"]
    found = fileio.read_json(path, _PLAN_SCHEMA, error=CacheError)
    if found["threads"] != plan["threads"]:
        # In how many parts a product is added up shows in its last bits.
        raise RunError(
            f"{directory} is written with {found['threads']} threads a "
            f"process, not {plan['threads']}; set the environment variable "
            f"TF_NUM_INTRAOP_THREADS to {found['threads']}"
        )
    if found["computed_by"] != plan["computed_by"]:
        raise RunError(
            f"{directory} is computed by {found['computed_by']}, here it would "
            f"be by {plan['computed_by']}, and the last bits would differ; set "
            "the environment variable BVKERAS_IMPLEMENTATION to reference for "
            "all, or BVKERAS_CPU_VARIANT to what all processors have"
        )
    shard_bytes = found.pop("shard_bytes")
    wanted = {name: plan[name] for name in plan if name != "shard_bytes"}
    fileio.require_same(directory, found, wanted)
    return shard_bytes


class SharedWriting:
    """What one process does to finish a cache together with others.

    Beside the shards lies a folder with the plan, a claim for each shard that
    is being made, and a record of each that is finished. A process killed at
    any moment leaves a claim that runs out. When all shards have a record,
    one process writes the manifest and removes the folder.

    Args:
        directory: path. The cache's folder.
        manifest: Manifest. With the shards that were there before.
        bounds: sequence of int. First example of each shard, and the number
            of examples after them.
    """

    def __init__(
        self, directory: pathlib.Path, manifest: Manifest, bounds: Sequence[int]
    ):
        self._directory, self._manifest = directory, manifest
        self._bounds = bounds
        self._folder = directory / WORKERS_FOLDER
        self._numbers = range(len(manifest.shards), len(bounds) - 1)

    def unfinished(self) -> list[int]:
        """Numbers of the shards without a record."""
        try:
            names = set(os.listdir(self._folder))
        except FileNotFoundError:
            return []
        return [n for n in self._numbers if f"{_name(n)}.json" not in names]

    def run(self, maker: ShardMaker, label: str) -> None:
        """Makes shards that nobody else makes, until the cache is whole.

        Args:
            maker: ShardMaker.
            label: str. What the progress bar says.

        Raises:
            DataError: a hidden state is NaN or infinite; names the example.
            OSError: a file cannot be written; names it.
        """
        total = self._bounds[-1]
        with (
            progress_bar(label, total, "examples", self._finished()) as bar,
            Claims(self._folder, claims.CLAIM_SECONDS) as own,
        ):
            while self._is_open():
                began = time.monotonic()
                made = maker.shards(self._free(own))
                with contextlib.closing(made):
                    for number, records, tokens in made:
                        seconds, began = _since(began)
                        self._keep(own, number, records, tokens, seconds)
                        bar.advance(self._finished() - bar.done)
                if self._is_open() and not self.unfinished():
                    self._finish(own)
                if self._is_open():
                    time.sleep(_LOOK_SECONDS)
                    bar.advance(self._finished() - bar.done)
            bar.advance(total - bar.done)
        # A claim that was made while the folder went kept it.
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    def _is_open(self) -> bool:
        # The first file to go once there is a manifest.
        return (self._folder / _PLAN_FILE).exists()

    def _finished(self) -> int:
        """Examples in finished shards, whoever made them."""
        waiting = sum(
            self._bounds[n + 1] - self._bounds[n] for n in self.unfinished()
        )
        return self._bounds[-1] - waiting

    def _free(self, own: Claims) -> Iterator[int]:
        """Claims one shard after the other, as long as one is to be had."""
        while self._is_open():
            for number in self.unfinished():
                try:
                    is_taken = own.take(_name(number))
                except FileNotFoundError:
                    return
                if is_taken and not self._record(number).exists():
                    yield number
                    break
                if is_taken:
                    own.drop(_name(number))
            else:
                return

    def _keep(
        self,
        own: Claims,
        number: int,
        records: list[bytes],
        tokens: int,
        seconds: float,
    ) -> None:
        if own.holds(_name(number)):
            shard = write_shard(self._directory, number, records, tokens)
            fileio.write_json(
                self._record(number),
                {"shard": dataclasses.asdict(shard), "seconds": seconds},
            )
        # Otherwise it was taken for dead, and another makes the shard.
        own.drop(_name(number))

    def _finish(self, own: Claims) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not own.take(_MANIFEST_CLAIM):
                return
            found = [
                fileio.read_json(
                    self._record(number), _RECORD_SCHEMA, error=CacheError
                )
                for number in self._numbers
            ]
            manifest = dataclasses.replace(
                self._manifest,
                shards=(
                    *self._manifest.shards,
                    *(Shard(**record["shard"]) for record in found),
                ),
                complete=True,
                seconds=self._manifest.seconds
                + sum(record["seconds"] for record in found),
            )
            with fileio.directory_lock(self._directory, _LOCK_SECONDS):
                manifest.write(self._directory)
                remove_workers(self._directory)

    def _record(self, number: int) -> pathlib.Path:
        return self._folder / f"{_name(number)}.json"


def begin_manifest(directory: pathlib.Path, manifest: Manifest) -> Manifest:
    """Writes the manifest of an unfinished cache, unless there is one.

    Args:
        directory: path. The cache's folder.
        manifest: Manifest without shards.

    Returns:
        Manifest that lies there.
    """
    with fileio.directory_lock(directory, _LOCK_SECONDS):
        if (directory / MANIFEST_FILE).exists():
            return Manifest.read(directory)
        manifest.write(directory)
    return manifest


def _name(number: int) -> str:
    return f"{number:05d}"


def _since(began: float) -> tuple[float, float]:
    now = time.monotonic()
    return now - began, now
