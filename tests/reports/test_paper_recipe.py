"""recipes/paper_tables.py: which runs it makes, and that it goes on."""

import pathlib
import runpy
import shutil

import pytest

from bvkeras import fileio, pipeline
from bvkeras.reports import paper_report, report
from tests.tiny_runs import forbid

_RECIPE = pathlib.Path(__file__).parents[2] / "recipes" / "paper_tables.py"


@pytest.fixture
def recipe():
    return runpy.run_path(str(_RECIPE), run_name="recipe")["paper_tables"]


@pytest.fixture
def made(make_run, monkeypatch):
    """Replaces the pipeline: writes a report, and lists what was asked for."""
    calls = []

    def run(task, backbone, directory, *, seed, limit, epochs, **options):
        calls.append((task, seed, options))
        settings = {"limit": limit, "epochs": list(epochs or (1.0,))}
        directory.parent.mkdir(exist_ok=True)
        made = make_run(
            task,
            seed,
            settings=settings,
            backbone=backbone,
            files={"hidden states": "cache"},
            command=options["command"],
        )
        shutil.move(made, directory)
        (directory / "cache").mkdir()

    monkeypatch.setattr(pipeline, "run", run)
    monkeypatch.setattr(pipeline, "check_run", lambda *_, **options: None)
    # They are drawn after every run, and tested elsewhere.
    monkeypatch.setattr(paper_report, "paper_pictures", lambda tables: [])
    monkeypatch.setattr(report, "run_pictures", lambda comparison: [])
    return calls


def arguments(tmp_path, *more):
    output = tmp_path / "out"
    return [
        *("--tasks", "cola", "squad_v2", "--seeds", "0", "1"),
        *("--data-dir", "GLUE", "--squad-dir", "SQUAD"),
        *("--backbone", "bert", "--output-dir", str(output), *more),
    ]


def test_every_task_and_seed_is_run(recipe, made, tmp_path, capsys):
    assert recipe(arguments(tmp_path, "--limit", "cola=500")) == 0
    expected = [("cola", 0), ("squad_v2", 0), ("cola", 1), ("squad_v2", 1)]
    assert [call[:2] for call in made] == expected
    directories = [str(call[2]["data_dir"]) for call in made]
    assert directories == ["GLUE", "SQUAD"] * 2
    assert all(call[2]["control"] and call[2]["frozen"] for call in made)
    printed = capsys.readouterr().out
    written = (tmp_path / "out" / "tables" / "tables.md").read_text("utf-8")
    assert written in printed
    assert "| bert | pooled head on it |" in written
    assert not list((tmp_path / "out").glob("*/cache"))
    page = (tmp_path / "out" / "cola-0" / "report.md").read_text("utf-8")
    assert "| hidden states | cache (not there) |" in page
    assert " --tasks cola squad_v2 --seeds 0 1 --data-dir GLUE" in page


def test_each_task_has_its_own_data(recipe, made, tmp_path):
    tasks = ["--tasks", "reviews", "squad_v2", "rte", "--seeds", "0"]
    assert recipe(arguments(tmp_path, *tasks)) == 0
    directories = {name: options["data_dir"] for name, _, options in made}
    assert directories == {
        "reviews": None,
        "squad_v2": pathlib.Path("SQUAD"),
        "rte": pathlib.Path("GLUE"),
    }


def test_finished_runs_are_not_made_again(recipe, made, tmp_path):
    recipe(arguments(tmp_path, "--limit", "cola=500"))
    shutil.rmtree(tmp_path / "out" / "cola-1")
    made.clear()
    recipe(arguments(tmp_path, "--limit", "cola=500", "--keep-caches"))
    assert [call[:2] for call in made] == [("cola", 1)]
    assert (tmp_path / "out" / "cola-1" / "cache").exists()


def test_caches_that_a_stop_left_are_removed(recipe, made, tmp_path):
    recipe(arguments(tmp_path, "--keep-caches"))
    assert len(list((tmp_path / "out").glob("*/cache"))) == 4
    made.clear()
    recipe(arguments(tmp_path))
    assert not list((tmp_path / "out").glob("*/cache"))
    assert not made


def test_rows_that_a_finished_run_has_not_are_made(
    recipe, made, tmp_path, capsys
):
    few = ("--tasks", "cola", "--seeds", "0", "1")
    recipe(arguments(tmp_path, *few))
    made.clear()
    recipe(arguments(tmp_path, *few, "--no-control", "--no-frozen"))
    assert not made
    tables = capsys.readouterr().out.split("# ")[-1]
    assert "frozen encoder" not in tables
    assert "one more epoch" not in tables
    report = tmp_path / "out" / "cola-1" / "report.json"
    record = fileio.read_json(report)
    record["systems"] = [s for s in record["systems"] if s["kind"] != "control"]
    fileio.write_json(report, record)
    recipe(arguments(tmp_path, *few))
    assert [call[:2] for call in made] == [("cola", 1)]


def test_what_cannot_be_run_is_found_before_the_first_run(
    recipe, glue_dir, tiny_bert, tmp_path, monkeypatch, capsys
):
    data = shutil.copytree(glue_dir, tmp_path / "data")
    shutil.rmtree(data / "MRPC")
    forbid(monkeypatch, pipeline, "run")
    more = ["--tasks", "cola", "mrpc", "--data-dir", str(data)]
    more += ["--backbone", str(tiny_bert), "--limit", "cola=5"]
    assert recipe(arguments(tmp_path, *more)) == 1
    assert "no data of mrpc" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--limit", "cola=400"), "with limit = 500, not 400"),
        (("--limit", "squad_v2=1"), "with limit = 500, not null"),
        (
            ("--limit", "cola=500", "--epochs", "cola=1,2"),
            "with epochs = [1.0], not [1.0, 2.0]",
        ),
        (
            ("--limit", "cola=500", "--backbone", "other"),
            'with backbone = "bert", not "other"',
        ),
    ],
)
def test_runs_of_other_options_are_refused(
    more, message, recipe, made, tmp_path, capsys
):
    recipe(arguments(tmp_path, "--limit", "cola=500"))
    made.clear()
    assert recipe(arguments(tmp_path, *more)) == 1
    assert message in capsys.readouterr().err
    assert not made


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--limit", "cola", "a task and a value such as sst2=8000, got 'cola'"),
        ("--limit", "nix=3", "such as sst2=8000, got 'nix=3'"),
        ("--epochs", "cola=1;2", "such as rte=1,2, got 'cola=1;2'"),
    ],
)
def test_what_cannot_be_read_is_named(
    option, value, message, recipe, tmp_path, capsys
):
    with pytest.raises(SystemExit):
        recipe(arguments(tmp_path, option, value))
    assert message in capsys.readouterr().err


def test_option_of_a_task_that_is_not_run(recipe, made, tmp_path, capsys):
    assert recipe(arguments(tmp_path, "--limit", "sst2=8")) == 1
    assert "--limit: sst2 is not among --tasks" in capsys.readouterr().err
    assert not made
