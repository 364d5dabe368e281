"""What `make demo` runs, on fewer rows."""

import pathlib
import re

import keras
import matplotlib.image
import pytest

from bvkeras.cache.reader import HiddenStateCache
from bvkeras.reports.report import read_report
from tests import fresh_process

pytestmark = pytest.mark.e2e

_ROOT = pathlib.Path(__file__).parents[2]
_ROWS = (
    "fine-tuned encoder",
    "pooled head on it",
    "regression on the mean of its hidden states",
    "mean of encoder and head",
    "head on the frozen encoder",
    "regression on the frozen encoder",
)
_STEPS = (
    *("fine-tune:", "predict:", "extract train:", "train head:"),
    *("mean hidden states:", "fit regression:"),
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The recipe's directory, and how its process ended."""
    output_dir = tmp_path_factory.mktemp("demo") / "reviews"
    return output_dir, _run(output_dir)


def _run(output_dir):
    return fresh_process.run(
        *(_ROOT / "recipes" / "reviews.py", "--limit", "96"),
        *("--max-tokens", "6", "--output-dir", output_dir),
        cwd=output_dir.parent,
    )


def test_it_ends_well(demo):
    _, ended = demo
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_step_shows_its_progress(demo):
    _, first = demo
    lines = first.stderr.splitlines()
    for step in _STEPS:
        (line, *_) = [line for line in lines if line.startswith(step)]
        assert re.search(r"[\d,]+/[\d,]+ \w+ · [\d.,]+/s · .* left", line)


def test_table_has_each_row_with_its_score_and_parameters(demo):
    output_dir, first = demo
    comparison = read_report(output_dir / "report.json")
    assert tuple(s.name for s in comparison.systems) == _ROWS
    assert comparison.examples == {"train": 96, "validation": 1530}
    lines = first.stdout.splitlines()
    for system in comparison.systems:
        # Long names take several lines, and the numbers stand in the first.
        row = (
            f"{comparison.main_score(system):.3f} ±",
            f" {system.trained_parameters:,} ",
            f" {system.total_parameters:,} ",
            f" {system.name.split()[0]} ",
        )
        assert any(all(cell in line for cell in row) for line in lines), row
    assert any("most frequent class" in line for line in lines)


def test_heads_are_hundreds_of_times_smaller(demo):
    systems = read_report(demo[0] / "report.json").systems
    for system in systems:
        if "head" not in system.kind and "regression" not in system.kind:
            # MiniLM was trained with the mean: all but its pooler is trained.
            assert 1 < system.compression < 1.01
    heads = [system for system in systems if "head" in system.kind]
    assert len(heads) == 2
    for head in heads:
        assert head.trained_parameters == 16 * 385 + 2 * (7 * 16 + 1)
        assert head.compression > 209
    regressions = [s for s in systems if "regression" in s.kind]
    assert len(regressions) == 2
    for regression in regressions:
        assert regression.trained_parameters == 7 * 384 + 1


def test_named_files_exist(demo):
    _, first = demo
    named = first.stdout.partition("Written:")[2].splitlines()[1:]
    paths = [pathlib.Path(line.partition(": ")[2]) for line in named]
    assert len(paths) > 8
    for path in paths:
        assert path.exists(), path
    kinds = {path.name for path in paths}
    assert {
        *("report.json", "report.md", "report.html"),
        *("scores.png", "head.keras"),
    } <= kinds


def test_plots_open(demo):
    for path in (demo[0] / "plots").glob("*.png"):
        picture = matplotlib.image.imread(path)
        assert min(picture.shape[:2]) > 200
        assert picture.std() > 0.01


def test_saved_head_and_cache_open(demo):
    output_dir = demo[0]
    for name in ("epoch_1", "frozen"):
        cache = HiddenStateCache(output_dir / "cache" / name / "validation")
        model = keras.models.load_model(
            output_dir / "head" / name / "head.keras"
        )
        inputs, labels = next(iter(cache.as_dataset(4)))
        assert model(inputs).shape == (4, 2)
        assert labels.shape == (4,)


@pytest.mark.full
def test_second_run_finds_everything_done(demo):
    output_dir, first = demo
    second = _run(output_dir)
    assert second.returncode == 0, second.stderr
    assert second.stdout == first.stdout
    assert not [step for step in _STEPS if step in second.stderr]
    assert " · " not in second.stderr
