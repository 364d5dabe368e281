"""Finds the files that paths and patterns name, and their formats."""

import glob
import os
import pathlib
from collections.abc import Sequence

from bvkeras.errors import DataError

FORMATS = {
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
    ".txt": "delimited",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".conll": "conll",
    ".iob": "conll",
    ".bio": "conll",
}
_EXPECTED = "expected .csv, .tsv, .jsonl or .parquet, or one of them with .gz"


def find_files(
    patterns: Sequence[str | os.PathLike],
    data_dir: str | os.PathLike | None = None,
) -> tuple[pathlib.Path, ...]:
    """The files that paths and patterns name, in order, each once.

    Args:
        patterns: sequence of str or path. Paths, or patterns with `*`, `?`,
            `[...]` or `**`, whose files come in the order of their names.
        data_dir: str, path or None. A folder where a file is looked for by
            its name when it is not where its path says. Defaults to `None`.

    Raises:
        DataError: a file is not there or is a directory, no file matches a
            pattern, or a name does not end as a table's.
    """
    found: dict[pathlib.Path, pathlib.Path] = {}
    for pattern in patterns:
        for path in _matches(os.fspath(pattern), data_dir):
            table_format(path)
            found.setdefault(path.resolve(), path)
    return tuple(found.values())


def table_format(path: pathlib.Path) -> str:
    """The format a file's name ends in: a value of `FORMATS`.

    Raises:
        DataError: it ends in nothing known.
    """
    suffix = _plain_name(path).suffix.lower()
    if suffix in (".xlsx", ".xls", ".ods"):
        raise DataError(
            f"{path}: is a spreadsheet, {_EXPECTED}; save it as CSV (UTF-8)"
        )
    if suffix not in FORMATS:
        raise DataError(f"{path}: ends in {suffix!r}, {_EXPECTED}")
    return FORMATS[suffix]


def suffix_of(path: pathlib.Path) -> str:
    """The ending that names the format, such as `".tsv"` of `a.tsv.gz`."""
    return _plain_name(path).suffix.lower()


def stem_of(path: pathlib.Path) -> str:
    """The name without the endings, such as `"a"` of `a.csv.gz`."""
    return _plain_name(path).stem


def short_names(paths: Sequence[pathlib.Path]) -> list[str]:
    """Names for the files' rows, no two alike.

    Stems where they differ; else paths below the folder they share.

    Args:
        paths: sequence of path. Different files.
    """
    stems = [stem_of(path) for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    full = [path.resolve() for path in paths]
    common = os.path.commonpath([path.parent for path in full])
    below = [path.relative_to(common) for path in full]
    names = [(path.parent / stem_of(path)).as_posix() for path in below]
    if len(set(names)) == len(names):
        return names
    return [path.as_posix() for path in below]


def _plain_name(path):
    name = pathlib.PurePath(path)
    return name.with_suffix("") if name.suffix.lower() == ".gz" else name


def _matches(pattern, data_dir):
    path = pathlib.Path(pattern)
    is_pattern = glob.has_magic(pattern) and not path.exists()
    places = [pattern]
    if data_dir is not None:
        places.append(os.path.join(data_dir, path.name))
    for place in places:
        if is_pattern:
            files = sorted(glob.glob(place, recursive=True))
            files = [pathlib.Path(f) for f in files if not os.path.isdir(f)]
            if files:
                return files
        elif os.path.exists(place):
            return [_checked_file(pathlib.Path(place))]
    if is_pattern:
        raise DataError(f"{pattern}: matches no file, expected tables")
    raise DataError(f"{pattern}: is not there, expected a table file")


def _checked_file(path):
    if path.is_dir():
        raise DataError(
            f"{path}: is a directory, expected a file or a pattern such as "
            f"{path / '*.csv'}"
        )
    return path
