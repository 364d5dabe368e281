"""What a cache says of itself, for people."""

import math
import os
from typing import Any

from bvkeras.cache.format import MANIFEST_FILE, WINDOWS, Manifest
from bvkeras.cache.reader import read_manifest
from bvkeras.cache.storage import as_directory, join

_DIGEST_SHOWN = 16
_FLOAT32_BYTES = 4


def describe_cache(directory: str | os.PathLike) -> dict[str, str]:
    """A cache's contents, origin and size, from its manifest alone.

    Args:
        directory: str or path. A cache, finished or not, anywhere
            `tf.io.gfile` reads.

    Returns:
        dict of what is described to its description, in order.

    Raises:
        CacheError: there is no manifest, or it cannot be understood.
    """
    directory = as_directory(directory)
    manifest = read_manifest(directory)
    identity = manifest.identity
    records = sum(shard.records for shard in manifest.shards)
    tokens = sum(shard.tokens for shard in manifest.shards)
    num_bytes = sum(shard.num_bytes for shard in manifest.shards)
    padded = _FLOAT32_BYTES * math.prod(
        (
            records,
            identity["max_tokens"],
            manifest.num_layers,
            manifest.hidden_dim,
        )
    )
    progress = "" if manifest.complete else f" of {manifest.examples:,}"
    rows: dict[str, Any] = {
        "manifest": join(directory, MANIFEST_FILE),
        "format": f"version {manifest.version}, by bvkeras {manifest.writer}",
        "task and split": f"{identity['task']}, {identity['split']}",
        "examples": f"{records:,}{progress}",
        **_pairs(manifest),
        "labels": _labels(manifest),
        "tokens": f"{tokens:,}, {tokens / max(1, records):.1f} an example, "
        f"at most {identity['max_tokens']}",
        "hidden states": f"layers {_numbers(identity['layers'])} x "
        f"{manifest.hidden_dim} features",
        "stored as": " made of ".join(
            [
                manifest.dtype,
                *reversed(identity["converted_from"]),
            ]
        ),
        "also kept": ", ".join(manifest.extras) or "nothing",
        "size": f"{num_bytes / 1e6:,.1f} MB in {len(manifest.shards):,} shards",
        "padded float32": f"{padded / 1e6:,.1f} MB at "
        f"{identity['max_tokens']} tokens, {padded / max(1, num_bytes):.1f} "
        "times as much",
        "extraction": f"{manifest.seconds:,.1f} seconds",
    }
    made_by = ["encoder", "tokenizer", "data"]
    if manifest.imported is not None:
        del rows["extraction"]
        rows |= _origin(manifest)
        made_by = made_by[2:]
    for name in made_by:
        rows[name] = f"SHA-256 {identity[name][:_DIGEST_SHOWN]}…"
    if not manifest.complete:
        what = "import" if manifest.imported else "extraction"
        rows["state"] = f"unfinished: the same {what} goes on"
    return {name: str(value) for name, value in rows.items()}


def _pairs(manifest: Manifest) -> dict[str, str]:
    """Of pairs apart, whose examples are texts, how many pairs there are."""
    if manifest.pairs is None:
        return {}
    return {"pairs": f"{manifest.pairs['count']:,}, each two of the examples"}


def _origin(manifest: Manifest) -> dict[str, str]:
    """Where imported hidden states came from."""
    imported = manifest.imported
    assert imported is not None
    names = [imported["layers"][i] for i in manifest.identity["layers"]]
    return {
        "imported": f"{manifest.seconds:,.1f} seconds",
        "encoder": f"{imported['encoder']}, not one of bvkeras",
        "names of layers": ", ".join(names),
        "from": "; ".join(
            f"{one['name']} ({one['files']:,} files, {one['num_bytes']:,} "
            f"bytes, SHA-256 {one['sha256'][:_DIGEST_SHOWN]}…)"
            for one in imported["sources"]
        ),
    }


def _labels(manifest: Manifest) -> str:
    if manifest.spans:
        numbers = ", ".join(
            f"{name} {number}"
            for name, number in manifest.identity[WINDOWS].items()
        )
        return f"spans of windows ({numbers})"
    if manifest.num_labels is not None:
        return f"any of {manifest.num_labels:,} labels each"
    if manifest.num_tags is not None:
        return f"one of {manifest.num_tags:,} tags a word, in windows"
    return "scores" if manifest.regression else "classes"


def _numbers(values: list[int]) -> str:
    first, last = values[0], values[-1]
    if len(values) > 2 and values == list(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(map(str, values))
