"""The kernels' cases in C++, and some of them under compute-sanitizer."""

import dataclasses
import pathlib
import shutil
import subprocess

# First case, step and count of kernels/tests/cuda_emulation_test.cc, from each
# of its three sets. 101 has no factor in common with the number of choices.
CASES = ((0, 101, 240), (1200, 101, 48), (2400, 101, 48))
SMALL_CASES = ((0, 101, 12), (1200, 101, 6), (2400, 101, 6))
SANITIZED_CASES = (5, 101, 8)
# Of compute-sanitizer. Shared memory is read before it is written nowhere.
SANITIZERS = ("memcheck", "racecheck", "synccheck")
_PLACES = ("/usr/local/cuda/bin", "/usr/local/cuda/compute-sanitizer")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Of one program.

    Attributes:
        name: string.
        verdict: string. `"ok"`, `"left out"` or `"failed"`.
        detail: string. Its last line, or all that it printed on failure.
    """

    name: str
    verdict: str
    detail: str


def run_cases(program: pathlib.Path, small: bool, limit: float) -> Outcome:
    """Runs the cases against float64, each twice for the same bits.

    Args:
        program: path. What `Builder.cases` built.
        small: bool. Whether only a few, for the emulated GPU.
        limit: float. Seconds.
    """
    details = []
    for first, step, count in SMALL_CASES if small else CASES:
        command = [program, first, step, count, 0, 1]
        outcome = _run(f"cases from {first}", command, limit)
        if outcome.verdict != "ok":
            return outcome
        details.append(outcome.detail)
    return Outcome("cases", "ok", "; ".join(details))


def run_cpu_cases(program: pathlib.Path | None, limit: float) -> Outcome:
    """Runs kernels/tests/linear_pooling_test.cc, of the CPU's kernels.

    Args:
        program: path or `None`. What `build_cpu_cases` built.
        limit: float. Seconds.
    """
    if program is None:
        return Outcome("CPU cases", "left out", "there is no CMake")
    return _run("CPU cases", [program], limit)


def run_sanitizers(program: pathlib.Path, limit: float) -> list[Outcome]:
    """Runs a few cases under each tool of compute-sanitizer.

    Args:
        program: path. What `Builder.cases` built for a GPU.
        limit: float. Seconds for each.
    """
    sanitizer = shutil.which("compute-sanitizer")
    for place in _PLACES:
        sanitizer = sanitizer or shutil.which("compute-sanitizer", path=place)
    if sanitizer is None:
        return [Outcome("compute-sanitizer", "left out", "it is not installed")]
    outcomes = []
    for tool in SANITIZERS:
        command = [sanitizer, "--tool", tool, "--error-exitcode", 9, program]
        command += [*SANITIZED_CASES, 0]
        outcome = _run(f"compute-sanitizer {tool}", command, limit)
        if outcome.detail == _late(limit):
            # It is slow; the same cases have ended without it.
            outcome = dataclasses.replace(outcome, verdict="left out")
        outcomes.append(outcome)
    return outcomes


def _run(name, command, limit):
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return Outcome(name, "failed", _late(limit))
    printed = done.stdout.strip()
    if done.returncode:
        detail = f"exit code {done.returncode}\n{printed[-3000:]}"
        return Outcome(name, "failed", detail)
    return Outcome(name, "ok", printed.splitlines()[-1] if printed else "")


def _late(limit):
    return f"not done after {limit:.0f} s"
