import pytest

from bvkeras.cli import main as cli
from bvkeras.reports.compare import compare_reports
from bvkeras.reports.markdown import to_markdown
from bvkeras.reports.report import read_report


def text(first, second):
    return to_markdown(
        compare_reports(
            *(read_report(run / "report.json") for run in (first, second))
        )
    )


def test_changes_are_told(make_run):
    first = make_run(settings={"units": 8, "epochs": [1.0]})
    second = make_run(seed=1, settings={"units": 16, "epochs": [1.0]})
    found = text(first, second)
    assert "| settings: units | 8 | 16 |" in found
    assert "| settings: seed | 0 | 1 |" in found
    assert "settings: epochs" not in found
    scores = [
        read_report(run / "report.json")
        .systems[1]
        .scores["validation"]["accuracy"]
        for run in (first, second)
    ]
    assert (
        f"| pooled head on it | accuracy on validation | {scores[0]:.4f} | "
        f"{scores[1]:.4f} | {scores[1] - scores[0]:+.4f} |"
    ) in found
    assert "| pooled head on it | 34,834 | 34,834 |" in found


def test_the_same_report_has_no_changes(make_run):
    run = make_run()
    assert "Nothing that reports say." in text(run, run)


def test_systems_of_one_alone_are_named(make_run):
    found = text(make_run(), make_run(seed=1, stops=(0.5, 1.0)))
    assert "## Only in the second\n\n- fine-tuned encoder, epoch 0.5\n" in found
    # The first's one stop point is the second's last.
    assert "Only in the first" not in found
    assert "| fine-tuned encoder | accuracy on validation |" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "rte"}, "of different tasks"),
        (
            {"examples": {"train": 1000, "validation": 100}},
            "scored on different rows",
        ),
    ],
)
def test_what_does_not_compare_is_said(make_run, change, message):
    assert message in text(make_run(), make_run(**{"seed": 1, **change}))


def test_command(make_run, capsys):
    first, second = make_run(), make_run(seed=1)
    assert cli.main(["compare", str(first), str(second / "report.json")]) == 0
    assert capsys.readouterr().out == text(first, second)
    assert cli.main(["compare", str(first), str(first / "head/1.tsv")]) == 1
    assert "error: " in capsys.readouterr().err
