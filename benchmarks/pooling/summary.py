"""The table of docs/kernels_measured.md and its plot, from the CSV file."""

import pathlib

from benchmarks.pooling.rows import read_rows
from benchmarks.pooling.sizes import SHAPES

BEGIN = "<!-- summary of benchmarks/results/linear_pooling.csv: begin -->"
END = "<!-- summary of benchmarks/results/linear_pooling.csv: end -->"
_STORED = ("float32", "bfloat16", "int8")


def write_summary(results: pathlib.Path, document: pathlib.Path) -> None:
    """Puts the table between the document's two marks.

    Raises:
        ValueError: The marks are not there.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document}: expected the lines {BEGIN} and {END}")
    table = "\n".join(_table(read_rows(results)))
    document.write_text(
        f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8"
    )


def _table(rows):
    yield f"| | {' | '.join(_STORED)} |"
    yield "|---|" + "---|" * len(_STORED)
    for device in dict.fromkeys(row["device"] for row in rows):
        here = [row for row in rows if row["device"] == device]
        for name, cells in _lines(here):
            if any(cells):
                place = "" if device == "cpu" else f"{device}: "
                yield f"| {place}{name} | {' | '.join(cells)} |"


def _lines(rows):
    """Names and cells of every line."""

    def line(question, shape, candidate, show):
        cells = []
        for stored in _STORED:
            wanted = candidate.format(stored)
            cells.append(
                next(
                    (
                        show(row)
                        for row in rows
                        if row["question"] == question
                        and shape in (row["shape"], None)
                        and row["candidate"] == wanted
                        and row["ratio"]
                    ),
                    "",
                )
            )
        return cells

    def both(question, candidate, name, show):
        for shape in SHAPES:
            yield (
                f"{name}, {shape}",
                line(question, str(shape), candidate, show),
            )

    yield from both("speed", "native {}, stash", "logits", _ratio)
    yield from both(
        "speed", "native {}, stash", "graphs of that type", _same_ratio
    )
    yield from both("speed", "native {}, recompute", "recompute", _ratio)
    for shape in SHAPES:
        yield (
            f"fastest PyTorch, {shape}",
            [_against_pytorch(rows, str(shape), stored) for stored in _STORED],
        )
    yield from both(
        "speed", "native {}, stash", "GFLOP/s, of the peak", _flops(rows)
    )
    yield from both(
        "speed", "native {}, stash", "GB/s, of the peak", _bytes(rows)
    )
    yield from both("layers", "native {}, stash", "list of layers", _ratio)
    yield from both("pooling", "native {}", "`linear_pooling`", _ratio)
    yield from both(
        "padding", "native {}, 50% padded", "half padded: time", _inverse
    )
    for shape in dict.fromkeys(
        row["shape"] for row in rows if row["question"] == "width"
    ):
        if "E1024" in shape:
            yield (
                f"speed a byte of E768's, {shape}",
                line("width", shape, "native {}, E1024", _ratio),
            )
    for way, name in (("stash", "Z kept"), ("recompute", "recompute")):
        yield (
            f"peak memory, {name}, B16 T384 units 384",
            line("memory", None, f"{{}}, {way}", _memory),
        )
    yield "step of `fit` on a cache", line("fit", None, "{}, native", _ratio)


def _ratio(row):
    return f"{float(row['ratio']):.2f}x ({float(row['least_ratio']):.2f})"


def _same_ratio(row):
    if not row["same_ratio"]:
        return ""
    return (
        f"{float(row['same_ratio']):.2f}x"
        f" ({float(row['same_least_ratio']):.2f})"
    )


def _inverse(row):
    return f"{1 / float(row['ratio']):.2f}"


def _memory(row):
    return f"{float(row['ratio']):.0f}x less ({float(row['median']):.1f} MB)"


def _against_pytorch(rows, shape, stored):
    times = {
        row["candidate"]: float(row["median"])
        for row in rows
        if row["question"] == "speed"
        and row["shape"] == shape
        and row["stored"] == stored
    }
    theirs = [time for name, time in times.items() if "PyTorch" in name]
    own = times.get(f"native {stored}, stash")
    return f"{min(theirs) / own:.2f}x" if theirs and own else ""


def _flops(rows):
    peaks = _peaks(rows)

    def show(row):
        narrow = row["stored"] != "float32" and peaks.get("bfloat16")
        peak = narrow or peaks.get("float32")
        return f"{float(row['gflops']):.0f}" + _share(row["gflops"], peak)

    return show


def _bytes(rows):
    peak = _peaks(rows).get("bandwidth")

    def show(row):
        return f"{float(row['gigabytes']):.1f}" + _share(row["gigabytes"], peak)

    return show


def _peaks(rows):
    return {
        row["candidate"]: float(row["median"])
        for row in rows
        if row["question"] == "peak"
    }


def _share(value, peak):
    return f" ({float(value) / peak:.0%})" if peak else ""


def write_plot(results: pathlib.Path, path: pathlib.Path) -> None:
    """Bars of the logits' ratios, for each shape and stored type."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    # The same numbers give the same file.
    plt.rcParams["svg.hashsalt"] = "bvkeras"
    rows = [
        row
        for row in read_rows(results)
        if row["device"] == "cpu" and row["question"] == "speed"
    ]
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    for place, stored in enumerate(_STORED):
        chosen = {
            row["shape"]: row
            for row in rows
            if row["candidate"] == f"native {stored}, stash"
        }
        shapes = [str(shape) for shape in SHAPES if str(shape) in chosen]
        ratios = [float(chosen[shape]["ratio"]) for shape in shapes]
        least = [float(chosen[shape]["least_ratio"]) for shape in shapes]
        bars = axes.bar(
            [index + (place - 1) * 0.27 for index in range(len(shapes))],
            ratios,
            width=0.25,
            label=stored,
            yerr=[
                [r - low for r, low in zip(ratios, least, strict=True)],
                [0] * len(ratios),
            ],
        )
        axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(
        range(len(SHAPES)),
        [str(shape).replace(" units", "\nunits") for shape in SHAPES],
        fontsize=8,
    )
    axes.set_ylabel("times faster")
    axes.set_title(
        "Forward and backward pass of a head's logits, native against the"
        " best float32 graph",
        fontsize=9,
    )
    axes.legend(title="hidden states")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
