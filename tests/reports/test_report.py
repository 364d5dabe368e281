import io

import pytest
import rich.console

from bvkeras.errors import DataError
from bvkeras.reports.markdown import to_markdown
from bvkeras.reports.published import PUBLISHED_HEADING
from bvkeras.reports.report import read_report, write_report
from bvkeras.reports.run_document import run_document
from bvkeras.reports.terminal import print_table

HEAD_ROW = (
    "| pooled head on it | 0.858 ± 0.009 | 34,834 | 22,748,050 | 652x | "
    "fine-tune 212.3<br>extract 41.5<br>train head 1,033.2 |"
)


def format_report(comparison):
    return to_markdown(run_document(comparison))


def table_text(comparison, width=100):
    file = io.StringIO()
    print_table(comparison, rich.console.Console(file=file, width=width))
    return file.getvalue()


def test_written_report_is_read_back(make_comparison, tmp_path):
    comparison = make_comparison()
    path = write_report(comparison, tmp_path / "run")
    assert read_report(path) == comparison
    for name in comparison.files.values():
        if name not in ("comparison.png", "head.keras"):
            assert (path.parent / name).stat().st_size > 0


def test_report_says_where_its_files_are(make_comparison, tmp_path):
    comparison = make_comparison(files={})
    write_report(comparison, tmp_path)
    written = {
        path.relative_to(tmp_path).as_posix()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    named = set(comparison.files.values())
    beside = {
        name.replace(".png", kind)
        for name in named
        if name.endswith(".png")
        for kind in (".svg", ".csv")
    }
    assert written == named | beside | {"report.json", "report.md"}
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    for name in named:
        assert f" [{name}](<./{name}>) |" in text
    assert "](<plots/scores.png>)" in text


def test_files_that_are_not_there_are_no_links(make_comparison, tmp_path):
    (tmp_path / "head.keras").touch()
    write_report(make_comparison(), tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| head | [head.keras](<./head.keras>) |" in text
    assert "| scores | comparison.png (not there) |" in text


def test_report_says_how_and_on_what_it_was_made(make_comparison):
    comparison = make_comparison(
        command="bvkeras run rte", hardware={"processor": "A CPU"}
    )
    lines = format_report(comparison).splitlines()
    assert lines[lines.index("## Command line") + 2] == "bvkeras run rte"
    assert "| processor | A CPU |" in lines
    # 212.34 once, 9.87, 41.5 and 1033.2.
    assert [line for line in lines if "All steps took 1,296.9 sec" in line]


def test_layers_are_shares_in_the_table_as_in_the_picture(make_comparison):
    # So small that as numbers they would all be 0.000.
    importance = {"pooled head on it": [1e-5, 2e-5, 5e-5]}
    text = format_report(make_comparison(layer_importance=importance))
    assert "| pooled head on it | 0.125 | 0.250 | 0.625 |" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"format_version": 9}', "format_version is 9; expected 1"),
    ],
)
def test_damaged_report_names_its_file(tmp_path, content, message):
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_report(path)
    assert str(caught.value).startswith(str(path))


def test_markdown_holds_the_run(make_comparison):
    lines = format_report(make_comparison(notes=["by hand"])).splitlines()
    assert lines[0] == "# Movie reviews"
    assert HEAD_ROW in lines
    for line in (
        "| train | 7,000 |",
        "| validation | 1,530 |",
        "| seed | 12345 |",
        "| epochs | [0.5, 1] |",
        "| head | [head.keras](<./head.keras>) |",
        "| keras | 3.8.0 |",
        "- by hand",
    ):
        assert line in lines
    assert "pooled head on it (652x)" in format_report(make_comparison())
    assert "The encoder still runs" in format_report(make_comparison())


def test_markdown_escapes_the_column_separator(make_comparison):
    text = format_report(make_comparison(settings={"a|b": "c|d"}))
    assert "| a\\|b | c\\|d |" in text


def test_published_scores_are_marked(make_comparison):
    text = format_report(make_comparison(task="mrpc"))
    assert PUBLISHED_HEADING[1:] in text
    assert "| AdapterPooler-base | 0.840 |" in text
    assert "text says BERT-base wins" in text
    assert "Published" not in format_report(make_comparison())


def test_baseline_is_shown_and_compared(make_comparison):
    baseline = {"validation": {"accuracy": 0.85}}
    text = format_report(make_comparison(baseline=baseline))
    assert "| most frequent class | 0.850 ± 0.009 |" in text
    assert "- fine-tuned encoder: no better than always" in text
    assert "- pooled head on it: no better" not in text


def test_baseline_has_a_name(make_comparison):
    baseline = {"validation": {"accuracy": 0.85}}
    comparison = make_comparison(baseline=baseline, baseline_name="nothing")
    text = format_report(comparison)
    assert "| nothing | 0.850 ± 0.009 |" in text
    assert "no better than always answering nothing (0.850)." in text


def test_tables_are_shown(make_comparison):
    table = {
        "title": "By length",
        "note": "In percent.",
        "columns": ["words", "EM"],
        "rows": [["1", 50.5], ["2|3", "-"]],
    }
    text = format_report(make_comparison(tables=[table]))
    assert (
        "## By length\n\nIn percent.\n\n| words | EM |\n| --- | --- |\n"
        "| 1 | 50.5 |\n| 2\\|3 | - |\n"
    ) in text


def test_metric_without_a_formula_has_no_error(make_comparison):
    scores = [
        {"validation": {"pearson": 0.8011, "spearman": 0.7942}},
        {"validation": {"pearson": 0.8233, "spearman": 0.8124}},
    ]
    text = format_report(make_comparison(scores, main_metric="pearson"))
    assert "| pooled head on it | 0.823 | 0.812 | 34,834 |" in text
    assert "±" not in text


def test_two_splits_have_a_column_each(make_comparison):
    scores = {
        "validation_matched": {"accuracy": 0.812},
        "validation_mismatched": {"accuracy": 0.823},
    }
    comparison = make_comparison([scores, scores])
    assert (
        "| system | validation matched accuracy | "
        "validation mismatched accuracy |"
    ) in format_report(comparison)
    table = table_text(comparison)
    assert max(map(len, table.splitlines())) <= 100
    for number in ("0.812 ± 0.010", "0.823 ± 0.010", "22,713,986"):
        assert table.count(number) >= 2


def test_terminal_table_holds_every_number(make_comparison):
    baseline = {"validation": {"accuracy": 0.5}}
    table = table_text(make_comparison(baseline=baseline))
    assert max(map(len, table.splitlines())) <= 100
    assert "\x1b" not in table
    for cell in (
        "0.843 ± 0.009",
        "0.858 ± 0.009",
        "0.500 ± 0.013",
        "22,713,986",
        "22,748,050",
        "34,834",
        "652x",
        "1x",
        "fine-tune 212.3",
        "evaluate 9.9",
        "extract 41.5",
        "train head 1,033.2",
    ):
        assert cell in table


def test_table_is_at_most_100_columns_on_a_wide_terminal(make_comparison):
    table = table_text(make_comparison(notes=["x"], title="T" * 90), width=300)
    assert max(map(len, table.splitlines())) <= 100


def test_piped_table_is_100_columns_without_colour(make_comparison, capsys):
    print_table(make_comparison())
    output = capsys.readouterr().out
    assert "\x1b" not in output
    assert "train head 1,033.2" in output


def test_names_with_brackets_are_no_markup(make_comparison):
    assert "[red]mine" in table_text(make_comparison(title="[red]mine"))


def test_table_on_a_terminal_without_unicode(make_comparison):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    print_table(make_comparison(), rich.console.Console(file=file, width=100))
    file.flush()
    assert b"0.858 +- 0.009" in raw.getvalue()
