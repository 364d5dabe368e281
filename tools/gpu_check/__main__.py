"""Checks and times the CUDA kernels on the GPU at hand; docs/gpu.md.

    python -m tools.gpu_check [--emulated] [--stages parity cases ...]

Exit code 1: something failed; what follows it is still run.
"""

import argparse
import faulthandler
import os
import pathlib
import shutil
import sys
import time

from tools.gpu_check import build, cases, parity, timing
from tools.gpu_check.library import Library
from tools.gpu_check.report import Report

STAGES = ("parity", "cases", "sanitizers", "times", "cpu")
_PARITY = ["choice", "result", "error", "plain_error", "bound", "verdict"]
_OUTCOMES = ["name", "verdict", "detail"]
_TIMES = ["entry", "candidate", "pass", "median_us", "least_us"]
_TIMES += ["gigabytes_per_second", "share_of_copy", "difference", "verdict"]
# Left for the last timings once nothing more is compiled.
_RESERVED = 45


def main(arguments: list[str] | None = None) -> int:
    """Runs the stages; 1 where something failed."""
    options = _options(arguments)
    folder = build.ROOT / "build" / "gpu_check"
    report = Report(options.output or folder)
    gpu = None if options.emulated else build.gpu_name()
    emulated = gpu is None
    if emulated:
        report.say(
            "no GPU is used: the kernels run on the emulated one, on small"
            " shapes, and nothing is timed"
        )
    else:
        report.say(f"GPU: {gpu}")
    try:
        builder = build.Builder(
            options.kernels, options.build or _objects(folder, gpu), emulated
        )
        path, seconds = build.timed(builder.library)
        library = Library(path)
    except build.BuildError as error:
        report.fail(f"build: {error}")
        return 1
    report.say(f"built by {builder.described} in {seconds:.0f} s")
    problem = library.problem()
    if problem is not None:
        report.fail(f"the kernels cannot run: {problem}")
        return 1
    limit = options.minutes * 60
    # A kernel that never ends must not hold the machine.
    faulthandler.dump_traceback_later(limit + 25, exit=True)
    asked = options.stages or STAGES[: -1 if emulated else None]
    for stage in (stage for stage in STAGES if stage in asked):
        left = limit - report.seconds
        if left < 1:
            # What the CPU does is no news about the GPU.
            tell = report.say if stage == "cpu" else report.fail
            tell(f"{stage}: left out, no time left")
            continue
        try:
            _RUN[stage](report, options, builder, library, emulated, left)
        except Exception as error:
            report.fail(f"{stage}: {type(error).__name__}: {error}")
    faulthandler.cancel_dump_traceback_later()
    report.say(f"CSV files: {report.folder}")
    report.say(
        f"{len(report.failures)} failures"
        if report.failures
        else "nothing failed"
    )
    return 1 if report.failures else 0


def _parity(report, options, builder, library, emulated, left):
    grid = list(parity.choices(small=emulated))
    checked = wrong = results = 0
    for choice in grid:
        if report.seconds > options.minutes * 60:
            report.fail(f"parity: {len(grid) - checked} cells left out: time")
            break
        rows = parity.check(library, choice)
        report.write("parity", _PARITY, rows)
        checked += 1
        results += len(rows)
        for row in rows:
            if row["verdict"] != "ok":
                wrong += 1
                report.fail(
                    f"parity: {choice}: {row['result']}: {row['verdict']}:"
                    f" {row.get('error')} against {row.get('bound')}"
                )
    report.say(
        f"parity: {checked} cells, {results} results, {wrong} of them wrong"
    )


def _cases(report, options, builder, library, emulated, left):
    path, seconds = build.timed(builder.cases)
    report.say(f"cases built in {seconds:.0f} s")
    _outcome(report, cases.run_cases(path, emulated, left))


def _sanitizers(report, options, builder, library, emulated, left):
    if emulated:
        report.say(
            "sanitizers: left out, compute-sanitizer needs a GPU (make"
            " test-full has the emulated GPU's)"
        )
        return
    for outcome in cases.run_sanitizers(builder.cases(), min(left / 8, 30)):
        _outcome(report, outcome)


def _cpu(report, options, builder, library, emulated, left):
    folder = build.ROOT / "build" / "kernel_tests"
    program = build.build_cpu_cases(options.kernels, folder, left)
    _outcome(report, cases.run_cpu_cases(program, left))


def _times(report, options, builder, library, emulated, left):
    if emulated:
        rows = []
        for entry in timing.entries(small=True):
            rows += timing.dry_run(library, entry)
        report.write("times", _TIMES, rows)
        _judge(report, rows)
        report.say(f"times: {len(rows)} candidates ran once, none was timed")
        return
    try:
        import torch
    except ImportError:
        report.say("times: left out, PyTorch is not installed")
        return
    if not torch.cuda.is_available():
        report.fail("times: PyTorch sees no GPU")
        return
    bandwidth = timing.copy_bandwidth()
    report.say(
        f"times: a copy moves {bandwidth / 1e9:.0f} GB/s; PyTorch"
        f" {torch.__version__}"
    )
    until = time.monotonic() + left
    for entry in timing.entries(small=False):
        if time.monotonic() > until:
            report.fail(f"times: {entry} and what follows left out: no time")
            return
        rows = timing.time_entry(library, entry, bandwidth, until - _RESERVED)
        report.write("times", _TIMES, rows)
        _judge(report, rows)
        print(f"\n{entry}")
        for row in rows:
            print(_line(row), flush=True)


def _line(row):
    if "median_us" not in row:
        return f"  {row['candidate']:20} {row['verdict']}"
    return (
        f"  {row['candidate']:20} {row['pass']:9}"
        f" {row['median_us']:9.1f} us"
        f" {row['gigabytes_per_second']:8.1f} GB/s"
        f" {100 * row['share_of_copy']:4.0f}% of a copy"
    )


def _judge(report, rows):
    for row in rows:
        if row["verdict"] != "ok" and "left out" not in row["verdict"]:
            report.fail(
                f"times: {row['entry']}: {row['candidate']}:"
                f" {row['verdict']}: {row['difference']}"
            )


def _outcome(report, outcome):
    row = {name: getattr(outcome, name) for name in _OUTCOMES}
    report.write("cases", _OUTCOMES, [row])
    line = f"{outcome.name}: {outcome.verdict}: {outcome.detail}"
    if outcome.verdict == "failed":
        report.fail(line)
    else:
        report.say(line)


_RUN = {
    "parity": _parity,
    "cases": _cases,
    "sanitizers": _sanitizers,
    "times": _times,
    "cpu": _cpu,
}


def _objects(folder, gpu):
    return folder / ("emulated" if gpu is None else "gpu")


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m tools.gpu_check", description=__doc__.splitlines()[0]
    )
    parser.add_argument(
        "--emulated", action="store_true", help="even where there is a GPU"
    )
    parser.add_argument(
        "--stages",
        nargs="+",
        choices=STAGES,
        help="defaults to all; emulated, to all but cpu, the cases of the"
        " CPU's kernels",
    )
    parser.add_argument(
        "--minutes", type=float, default=7.5, help="for all of it"
    )
    out = os.environ.get("OUT")
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path(out) if out else None,
        help="folder of the CSV files; $OUT, else build/gpu_check",
    )
    parser.add_argument(
        "--kernels",
        type=pathlib.Path,
        default=build.ROOT / "kernels",
        help="another copy of kernels/",
    )
    parser.add_argument(
        "--build", type=pathlib.Path, help="folder of what is built"
    )
    options = parser.parse_args(arguments)
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        parser.error("there is no C++ compiler: set CXX")
    return options


if __name__ == "__main__":
    sys.exit(main())
