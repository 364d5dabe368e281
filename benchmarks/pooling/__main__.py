"""How fast is the native linear pooling, and how much memory does it take?

    speed    forward and backward pass of a head's logits (gradients of W, b,
             V and d; none of H), for each stored type of hidden states,
             against TensorFlow, XLA and, where installed, PyTorch
    layers   the same with a list of layers, which graphs have to stack
    pooling  the same of `linear_pooling`, which gives Y
    padding  half the tokens padded against none
    width    rows of 1024 numbers against as many in rows of 768
    memory   peak of one step above its inputs
    fit      a step of `model.fit` of a head on a cache
    peak     what this processor can do at most

Candidates take turns in one process, so that each round's ratio compares times
under the same load; medians and least of the rounds' ratios are kept. Rows of
a GPU are added where TensorFlow sees one.

    python -m benchmarks.pooling [QUESTION ...]

Results go to benchmarks/results/linear_pooling.csv; the summary in
docs/kernels_measured.md and the plot beside it are made from that file.
"""

import argparse
import os
import pathlib
import platform

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from benchmarks.pooling import pytorch_steps
from benchmarks.pooling.questions import CPU_ONLY, QUESTIONS
from benchmarks.pooling.rows import replace_rows
from benchmarks.pooling.summary import write_plot, write_summary
from bvkeras.ops import library

_ROOT = pathlib.Path(__file__).parents[2]
_RESULTS = _ROOT / "benchmarks" / "results" / "linear_pooling.csv"
_DOCUMENT = _ROOT / "docs" / "kernels_measured.md"
_PLOT = _ROOT / "docs" / "kernels_speed.svg"


def main() -> None:
    """Asks the questions and writes the answers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("questions", nargs="*", metavar="QUESTION")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    parser.add_argument(
        "--summary-only",
        action="store_true",
        help="write the table and the plot from the results that are there",
    )
    options = parser.parse_args()
    unknown = set(options.questions) - QUESTIONS.keys()
    if unknown:
        parser.error(
            f"questions: received {', '.join(sorted(unknown))}, expected some"
            f" of {', '.join(QUESTIONS)}"
        )
    if not options.summary_only:
        _measure(options)
    if options.results == _RESULTS:
        write_summary(_RESULTS, _DOCUMENT)
        write_plot(_RESULTS, _PLOT)


def _measure(options):
    devices = ["cpu"]
    if tf.config.list_physical_devices("GPU"):
        devices.append("gpu")
    print(f"{platform.processor() or platform.machine()}: {library.describe()}")
    if not pytorch_steps.INSTALLED:
        print("PyTorch is not installed: without its rows")
    for name in options.questions or QUESTIONS:
        for device in devices:
            if device == "gpu" and name in CPU_ONLY:
                continue
            rows = QUESTIONS[name](device, options.rounds)
            replace_rows(options.results, rows)
            for row in rows:
                print(
                    f"{row.device} {row.question}: {row.shape}: {row.candidate}"
                    f": {row.median} {row.unit}, {row.ratio}x {row.baseline}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
