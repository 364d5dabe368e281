import pytest

from bvkeras import tasks
from bvkeras.errors import ArgumentError


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        *(("rte", "rte"), ("SST-2", "sst2"), ("sst_2", "sst2")),
        *(("STS-B", "stsb"), ("squad-v2", "squad_v2")),
        *(("SQuAD 2.0", "squad_v2"), ("squadv2", "squad_v2")),
    ],
)
def test_get_accepts_spellings(spelling, name):
    assert tasks.get(spelling).name == name


def test_unknown_name_lists_the_tasks():
    with pytest.raises(ArgumentError, match=r"no task 'snli'.*cola, sst2,"):
        tasks.get("snli")


def test_names_are_the_nine_of_glue_and_two_more():
    assert tasks.names() == (
        *("cola", "sst2", "mrpc", "stsb", "qqp", "mnli"),
        *("qnli", "rte", "wnli", "reviews", "squad_v2"),
    )


@pytest.mark.parametrize("name", tasks.names())
def test_titles_are_spellings(name):
    spec = tasks.get(name)
    if name != "reviews":
        assert tasks.get(spec.title) is spec


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("cola", ("matthews",)),
        ("sst2", ("accuracy",)),
        ("mrpc", ("accuracy", "f1")),
        ("stsb", ("pearson", "spearman")),
        ("qqp", ("accuracy", "f1")),
        ("mnli", ("accuracy",)),
        ("qnli", ("accuracy",)),
        ("rte", ("accuracy",)),
        ("wnli", ("accuracy",)),
        ("reviews", ("accuracy",)),
        ("squad_v2", ("exact", "f1")),
    ],
)
def test_metrics_are_the_benchmarks(name, metrics):
    assert tasks.get(name).metrics == metrics


def test_labels_and_splits():
    assert tasks.get("mnli").num_labels == 3
    assert tasks.get("mnli").splits == (
        *("train", "validation_matched", "validation_mismatched"),
    )
    assert tasks.get("rte").num_labels == 2
    assert tasks.get("rte").splits == ("train", "validation")
    stsb = tasks.get("stsb")
    assert stsb.is_regression
    assert stsb.num_labels == 1
    assert stsb.label_range == (0.0, 5.0)
    squad = tasks.get("squad_v2")
    assert squad.kind is tasks.Kind.SPAN
    assert not squad.is_regression
    # The logits of start and end.
    assert squad.num_labels == 2
    assert squad.splits == ("train", "held_out", "validation")
    assert squad.windows == tasks.WindowPlan(stride=128, question_tokens=64)
    assert [name for name in tasks.names() if tasks.get(name).windows] == [
        "squad_v2"
    ]


@pytest.mark.parametrize(
    ("name", "rate", "batch", "tokens", "units", "head_rate"),
    [
        ("mnli", 1e-5, 32, 128, 128, 1e-5),
        ("qnli", 1e-5, 32, 128, 32, 8.65e-4),
        ("qqp", 1e-5, 32, 128, 128, 1e-5),
        ("rte", 2e-5, 16, 250, 8, 3.59e-4),
        ("sst2", 2e-5, 32, 128, 32, 9.74e-4),
        ("mrpc", 2e-5, 32, 128, 16, 7.59e-4),
        ("cola", 2e-5, 16, 128, 128, 2.26e-5),
        ("stsb", 2e-5, 16, 128, 128, 2.78e-5),
        ("wnli", 2e-5, 16, 128, 128, 2e-5),
        ("reviews", 2e-5, 32, 128, 32, 9.74e-4),
        ("squad_v2", 2e-5, 16, 384, 384, 2e-5),
    ],
)
def test_settings_from_768_features_on_are_the_papers(
    name, rate, batch, tokens, units, head_rate
):
    assert tasks.get(name).settings_for(768) == tasks.TaskSettings(
        tasks.FinetuneConfig(
            learning_rate=rate,
            batch_size=batch,
            max_tokens=tokens,
            epochs=(1.0,),
            dropout=0.1,
        ),
        tasks.HeadConfig(
            units=units,
            learning_rate=head_rate,
            token_pooling="flatten",
            projection_rate=1.0,
            epochs=1,
            batch_size=batch,
            dropout=0.0,
        ),
    )


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mnli", {}),
        ("qnli", {}),
        ("qqp", {}),
        ("mrpc", {}),
        ("wnli", {"batch_size": 16}),
        (
            "rte",
            {
                "batch_size": 16,
                "max_tokens": 250,
                "epochs": 2.0,
                "head_epochs": 1,
                "head_projection_rate": 0.3,
            },
        ),
        ("cola", {"batch_size": 16, "max_tokens": 48}),
        (
            "stsb",
            {"batch_size": 16, "learning_rate": 2e-4, "max_tokens": 64},
        ),
        ("sst2", {"learning_rate": 2e-4, "max_tokens": 64}),
        ("reviews", {"max_tokens": 64}),
        (
            "squad_v2",
            {
                "batch_size": 16,
                "learning_rate": 2e-4,
                "max_tokens": 384,
                "dropout": 0.1,
                "units": 64,
                "head_learning_rate": 3e-3,
                "token_pooling": "flatten",
                "head_epochs": 3,
            },
        ),
    ],
)
def test_settings_below_768_features_are_the_small_encoders(name, changes):
    small = tasks.TaskSettings(
        tasks.FinetuneConfig(
            learning_rate=1e-4,
            batch_size=32,
            max_tokens=128,
            epochs=(1.0,),
            dropout=0.0,
        ),
        tasks.HeadConfig(
            units=16,
            learning_rate=1e-3,
            token_pooling="mean",
            projection_rate=1.0,
            epochs=6,
            batch_size=16,
            dropout=0.0,
        ),
    )
    expected = small.replaced(**changes)
    assert tasks.get(name).settings_for(767) == expected
