"""Table files for tests, written in every format."""

import csv
import gzip
import json

import pyarrow
import pyarrow.parquet

HARD_TEXTS = (
    "plain",
    'quotes "inside", and a comma',
    "two\nlines; and\ttab",
    "line\r\nof Windows",
    "emoji 🙂👩‍👩‍👧",
    "שלום עולם",
    "مرحبا، بالعالم",
    "naïve café",
    '"',
    "|pipes|",
)


def write_rows(path, rows, *, encoding="utf-8", line_end="\n", separator=","):
    """Writes dicts with the same keys to a file, by its ending."""
    name = path.name.removesuffix(".gz")
    if name.endswith((".parquet", ".pq")):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        data = path.read_bytes()
    elif name.endswith((".jsonl", ".ndjson")):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        data = line_end.join([*lines, ""]).encode(encoding)
    else:
        separator = "\t" if name.endswith(".tsv") else separator
        part = path.with_name("part")
        # csv leaves a lone "\r" without quotes where lines end with "\n".
        has_returns = any("\r" in str(c) for row in rows for c in row.values())
        with open(part, "w", encoding=encoding, newline="") as file:
            writer = csv.writer(
                file,
                delimiter=separator,
                lineterminator=line_end,
                quoting=csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL,
            )
            writer.writerow(rows[0])
            writer.writerows(row.values() for row in rows)
        data = part.read_bytes()
        part.unlink()
    if path.name.endswith(".gz"):
        data = gzip.compress(data)
    path.write_bytes(data)
    return path


def write_text(path, text, encoding="utf-8"):
    """Writes text as it is."""
    path.write_bytes(text.encode(encoding))
    return path
