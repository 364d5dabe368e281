import numpy as np
import pytest

from bvkeras.reports.published import published_note, published_scores

GLUE = ("mnli", "qnli", "qqp", "rte", "sst2", "mrpc", "cola", "stsb")


@pytest.mark.parametrize(
    ("model", "average"),
    [
        ("BERT-base", 0.801),
        ("AdapterPooler-base", 0.82075),
        ("BERT-large", 0.7435),
        ("AdapterPooler-large", 0.79075),
    ],
)
def test_rows_average_as_the_note_says(model, average):
    rows = [published_scores(task)[model] for task in GLUE]
    assert np.mean(rows) == pytest.approx(average, abs=1e-9)


def test_printed_average_disagrees_and_the_note_says_so():
    printed = published_scores("glue_average")
    assert printed["BERT-base"] == 0.802
    assert printed["AdapterPooler-base"] == 0.819
    note = published_note("glue_average")
    for number in (".810", ".809", ".819", ".802", ".821", ".801"):
        assert number in note


def test_mrpc_note():
    scores = published_scores("mrpc")
    assert scores["AdapterPooler-base"] > scores["BERT-base"]
    assert "text says BERT-base wins" in published_note("mrpc")


@pytest.mark.parametrize("task", ["wnli", "reviews"])
def test_task_the_paper_does_not_report(task):
    assert published_scores(task) == {}
    assert published_note(task) is None
