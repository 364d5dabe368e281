"""The Hugging Face hub's local cache, laid out by hand."""

import hashlib
import os
import pathlib


def write_hub_model(
    cache: pathlib.Path,
    model: str,
    source: pathlib.Path,
    commit: str,
    revision: str = "main",
) -> pathlib.Path:
    """Lays a folder's files out as one commit of a model in the cache.

    As huggingface_hub documents it: `blobs` has the bytes, by their digests;
    `snapshots/COMMIT` links to them; `refs/REVISION` has the commit.

    Args:
        cache: path. The cache's folder.
        model: str. `organisation/name`.
        source: path. The model's files.
        commit: str. 40 hexadecimal digits.
        revision: str. Branch or tag that has the commit.

    Returns:
        path of the snapshot.
    """
    folder = cache / f"models--{model.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    for file in source.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes()
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = snapshot / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    reference = folder / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit)
    return snapshot
