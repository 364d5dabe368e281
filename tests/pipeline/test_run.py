"""All steps of a run on a tiny BERT: what is written, and written once."""

import dataclasses
import json
import shutil
import types

import matplotlib.image
import numpy as np
import pytest

from bvkeras import pipeline, tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.data.sources import load_examples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import ArgumentError, RunError
from bvkeras.pipeline.kinds import majority_baseline
from bvkeras.pipeline.steps import fine_tuning
from bvkeras.reports.report import read_report
from bvkeras.reports.run_document import run_document
from bvkeras.tasks.glue import GLUE
from bvkeras.training.finetune import Snapshot
from bvkeras.training.head import TrainedHead
from tests.pipeline.fast_run import FAST, few_draws, short_report
from tests.tiny_runs import make_examples

_ENCODER_ROW = "fine-tuned encoder"
_HEAD_ROW = "pooled head on it"
_REGRESSION_ROW = "regression on the mean of its hidden states"
_ENSEMBLE_ROWS = ("mean of encoder and head", "maximum of encoder and head")
_FINISHED = {**FAST, "epochs": (0.5, 1.0)}

# What each kind of work is done by; a finished run needs none of it.
_WORK = (
    "bvkeras.training.finetune._train_step",
    "bvkeras.training.head.build_head",
    "bvkeras.training.regression.closed_form",
    "bvkeras.cache.writer._extract",
    "bvkeras.evaluation.evaluate.predict_scores",
    "bvkeras.evaluation.evaluate._predict_from_cache",
    "bvkeras.evaluation.layer_importance.measure_importance",
    "bvkeras.evaluation.paired_bootstrap.paired_difference",
)


@pytest.fixture(scope="module")
def finished(tiny_bert, glue_dir, tmp_path_factory):
    """A run with every row, and its directory."""
    output_dir = tmp_path_factory.mktemp("sst2")
    with few_draws():
        comparison = pipeline.run(
            "sst2",
            str(tiny_bert),
            output_dir,
            data_dir=glue_dir,
            control=True,
            **_FINISHED,
        )
    return comparison, output_dir


# One of each shape: two metrics, scores. The other runs here take sst2, a task
# of single texts, and rte; test_pairs_apart.py takes mnli, with two splits.
_SHORT_SET = ("mrpc", "stsb")


@pytest.fixture(
    scope="module",
    params=[
        spec.name
        if spec.name in _SHORT_SET
        else pytest.param(spec.name, marks=pytest.mark.full)
        for spec in GLUE
    ],
)
def glue_run(request, tiny_bert, glue_dir, tmp_path_factory):
    """A short run of each GLUE task: the task, the result, the directory."""
    output_dir = tmp_path_factory.mktemp(request.param)
    with short_report():
        comparison = pipeline.run(
            request.param,
            str(tiny_bert),
            output_dir,
            data_dir=glue_dir,
            frozen=False,
            # Of 24, which have as many of each class.
            limit=19,
            epochs=(1.0,),
            **FAST,
        )
    return tasks.get(request.param), comparison, output_dir


@pytest.fixture
def run_again(finished, tiny_bert, glue_dir):
    """Runs in the finished run's directory; what is given replaces."""

    def run(task="sst2", backbone=tiny_bert, data_dir=glue_dir, **changes):
        options = {"control": True, **_FINISHED, **changes}
        with short_report():
            return pipeline.run(
                task, str(backbone), finished[1], data_dir=data_dir, **options
            )

    return run


@pytest.fixture
def no_work(monkeypatch):
    """Makes every step of work fail."""

    def fail(*args, **kwargs):
        raise AssertionError("finished work was done again")

    for name in _WORK:
        monkeypatch.setattr(name, fail)


@pytest.fixture
def chosen_rows(monkeypatch):
    """Starts a run up to fine-tuning and gives the ids it would train on."""

    class Reached(Exception):
        pass

    def finetune(encoder, task, examples, *args, **kwargs):
        raise Reached(examples.ids)

    def chosen(*args, **kwargs):
        with monkeypatch.context() as patched:
            patched.setattr(fine_tuning, "finetune", finetune)
            with pytest.raises(Reached) as reached:
                pipeline.run(*args, **kwargs)
        return reached.value.args[0]

    return chosen


def test_rows_come_in_the_order_of_the_steps(finished):
    assert [system.name for system in finished[0].systems] == [
        "fine-tuned encoder, epoch 0.5",
        "pooled head on it, epoch 0.5",
        "regression on the mean of its hidden states, epoch 0.5",
        "mean of encoder and head, epoch 0.5",
        "fine-tuned encoder, epoch 1",
        "pooled head on it, epoch 1",
        "regression on the mean of its hidden states, epoch 1",
        "mean of encoder and head, epoch 1",
        "head on the frozen encoder",
        "regression on the frozen encoder",
        "encoder after one more epoch",
    ]


def test_report_json_holds_the_comparison(finished):
    comparison, output_dir = finished
    stored = read_report(output_dir / "report.json").to_dict()
    assert stored == json.loads(json.dumps(comparison.to_dict()))


def test_report_md_shows_every_row(finished):
    comparison, output_dir = finished
    lines = (output_dir / "report.md").read_text(encoding="utf-8").splitlines()
    for system in comparison.systems:
        row = next(
            line for line in lines if line.startswith(f"| {system.name}")
        )
        assert f"{comparison.main_score(system):.3f}" in row
        assert f"{system.trained_parameters:,}" in row
        assert f"{system.total_parameters:,}" in row


def test_every_named_file_is_there(finished):
    comparison, output_dir = finished
    assert len(comparison.files) == 31
    for path in comparison.files.values():
        assert (output_dir / path).exists(), path


def test_errors_of_encoder_and_head_are_compared(finished):
    comparison, output_dir = finished
    name = "pooled head on it, epoch 0.5, errors on validation"
    path = output_dir / comparison.files[name]
    analysis = json.loads((path.parent / "errors.json").read_text())
    assert analysis["rows"] == comparison.examples["validation"]
    assert [system["name"] for system in analysis["systems"]] == [
        "fine-tuned encoder, epoch 0.5",
        "pooled head on it, epoch 0.5",
    ]
    if analysis["classes"]:
        scores = [s.scores["validation"] for s in comparison.systems[:2]]
        accuracies = [system["accuracy"] for system in analysis["systems"]]
        assert accuracies == [score["accuracy"] for score in scores]
        assert len(analysis["systems"][0]["words_right"]) in (1, 2)
    assert len(comparison.notes) == 3
    assert (
        "pooled head on it, epoch 0.5 less fine-tuned encoder, epoch 0.5"
        in comparison.notes[0]
    )
    assert "kernel rounded to bfloat16" in comparison.notes[2]
    header = (path.parent / "differences.tsv").read_text().split("\n")[0]
    assert header.startswith("index\tlabel\tfine-tuned encoder, epoch 0.5")


def test_systems_that_predict_one_class_are_named_first(finished):
    comparison, output_dir = finished
    warned = [w.split(", ", 1)[1] for w in comparison.warnings]
    for system in comparison.systems:
        rows = _prediction_rows(comparison, output_dir, system, "validation")
        constant = len({row["prediction"] for row in rows}) == 1
        said = f"{system.name} predicts {rows[0]['prediction']} for every row"
        assert any(w.startswith(said) for w in warned) == constant
    warning = "on validation, it predicts x for every row"
    document = run_document(
        dataclasses.replace(comparison, warnings=[warning]), []
    )
    assert document.sections[0].texts[0] == f"Warning: {warning}"


def test_plots_are_pictures(finished):
    comparison, output_dir = finished
    pictures = [p for p in comparison.files.values() if p.endswith(".png")]
    assert pictures == [
        "plots/scores.png",
        "plots/stop_points.png",
        "plots/parameters.png",
        "plots/layers.png",
        "plots/training.png",
    ]
    for path in pictures:
        picture = matplotlib.image.imread(output_dir / path)
        assert min(picture.shape[:2]) > 200
        assert picture.std() > 0.01


def test_rows_say_what_they_are(finished):
    assert [(s.kind, s.epochs) for s in finished[0].systems] == [
        *(("encoder", 0.5), ("head", 0.5), ("regression", 0.5)),
        ("ensemble_mean", 0.5),
        *(("encoder", 1.0), ("head", 1.0), ("regression", 1.0)),
        ("ensemble_mean", 1.0),
        *(("frozen_head", 0.0), ("frozen_regression", 0.0)),
        ("control", 2.0),
    ]


def test_layers_of_every_head_are_measured(finished):
    importance = finished[0].layer_importance
    assert list(importance) == [
        "pooled head on it, epoch 0.5",
        "pooled head on it, epoch 1",
        "head on the frozen encoder",
    ]
    # The tiny BERT's embeddings and two layers.
    assert all(len(values) == 3 for values in importance.values())
    assert all(min(values) > 0 for values in importance.values())


def test_differences_are_of_the_scores(finished):
    comparison, _ = finished
    scores = {
        system.name: comparison.main_score(system)
        for system in comparison.systems
    }
    head, regression = (
        f"{row}, epoch {{}}".format for row in (_HEAD_ROW, _REGRESSION_ROW)
    )
    encoder = f"{_ENCODER_ROW}, epoch {{}}".format
    pairs = [(pair["first"], pair["second"]) for pair in comparison.differences]
    assert pairs == [
        *((encoder(epochs), head(epochs)) for epochs in ("0.5", "1")),
        *((regression(epochs), head(epochs)) for epochs in ("0.5", "1")),
        ("regression on the frozen encoder", "head on the frozen encoder"),
    ]
    for pair in comparison.differences:
        expected = scores[pair["second"]] - scores[pair["first"]]
        assert pair["difference"] == pytest.approx(expected)
        assert pair["low"] <= pair["difference"] <= pair["high"]


def test_ensembles_count_both(finished):
    encoder, head, _, mean = finished[0].systems[:4]
    assert mean.trained_parameters == (
        encoder.trained_parameters + head.trained_parameters
    )
    assert mean.total_parameters == (
        encoder.total_parameters + head.trained_parameters
    )
    assert mean.seconds["predict"] == pytest.approx(
        encoder.seconds["predict"] + head.seconds["predict"]
    )


def test_predictions_are_of_the_dev_set_in_its_order(finished, glue_dir):
    comparison, output_dir = finished
    examples = load_examples("sst2", "validation", glue_dir)
    names = [tasks.get("sst2").label_names[label] for label in examples.labels]
    for system in comparison.systems:
        rows = _prediction_rows(comparison, output_dir, system, "validation")
        assert [row["index"] for row in rows] == list(examples.ids)
        assert [row["label"] for row in rows] == names


def test_caches_hold_every_row_of_the_encoder_they_are_named_after(
    finished, tiny_bert
):
    _, output_dir = finished
    digests = set()
    for name, source in (
        ("frozen", tiny_bert),
        ("epoch_0.5", output_dir / "finetune" / "epoch_0.5" / "encoder"),
        ("epoch_1", output_dir / "finetune" / "epoch_1" / "encoder"),
    ):
        digest = load_backbone(source).digest()
        digests.add(digest)
        for split, rows in (("train", 24), ("validation", 9)):
            cache = HiddenStateCache(output_dir / "cache" / name / split)
            assert len(cache) == rows
            assert cache.manifest.identity["encoder"] == digest
    assert len(digests) == 3


def test_parameters_are_counted(finished, tiny_bert):
    config = json.loads((tiny_bert / "config.json").read_text())
    encoder = _bert_parameters(config)
    width, layers = config["hidden_size"], config["num_hidden_layers"] + 1
    dense_head = 2 * (width + 1)
    pooled_head = FAST["units"] * (width + 1)
    pooled_head += 2 * (layers * FAST["units"] + 1)
    for system in finished[0].systems:
        if "of encoder and head" in system.name:
            continue
        if "head" in system.kind or "regression" in system.kind:
            # One logit, and its bias.
            trained = width * layers + 1
            if "head" in system.kind:
                trained = pooled_head
            assert system.trained_parameters == trained
            assert system.total_parameters == encoder + trained
            assert system.compression == pytest.approx(encoder / trained)
        else:
            assert system.trained_parameters == encoder + dense_head
            assert system.total_parameters == encoder + dense_head


def test_every_row_has_the_seconds_of_its_steps(finished):
    steps = {s.name: list(s.seconds) for s in finished[0].systems}
    assert steps[f"{_ENCODER_ROW}, epoch 1"] == ["fine-tune", "predict"]
    assert steps[f"{_HEAD_ROW}, epoch 1"] == [
        *("fine-tune", "extract", "train head", "predict"),
    ]
    assert steps[f"{_REGRESSION_ROW}, epoch 1"] == [
        *("fine-tune", "extract", "fit regression", "predict"),
    ]
    assert steps["regression on the frozen encoder"] == [
        *("extract", "fit regression", "predict"),
    ]
    assert steps["head on the frozen encoder"] == [
        *("extract", "train head", "predict"),
    ]
    assert steps["encoder after one more epoch"] == [
        *("fine-tune", "one more epoch", "predict"),
    ]
    for system in finished[0].systems:
        assert all(seconds > 0 for seconds in system.seconds.values())


def test_seconds_of_a_row_are_those_of_its_stop_point(finished):
    comparison, output_dir = finished
    for kind, epochs in (("encoder", 0.5), ("head", 0.5), ("head", 1.0)):
        (system,) = (
            system
            for system in comparison.systems
            if (system.kind, system.epochs) == (kind, epochs)
        )
        place = f"epoch_{epochs:g}"
        snapshot = Snapshot.open(output_dir / "finetune" / place)
        assert system.seconds["fine-tune"] == snapshot.seconds
        if kind == "head":
            head = TrainedHead.open(output_dir / "head" / place)
            assert system.seconds["train head"] == head.seconds


def test_training_curves_are_kept_for_what_is_trained_in_steps(finished):
    histories = finished[0].histories
    assert list(histories) == [
        system.name
        for system in finished[0].systems
        if not system.kind.startswith("ensemble")
        and "regression" not in system.kind
    ]
    steps = [row["step"] for row in histories[f"{_ENCODER_ROW}, epoch 1"]]
    assert steps == [1, 2, 3]
    control = histories["encoder after one more epoch"]
    assert [row["step"] for row in control] == [1, 2, 3]


def test_finished_run_is_read_and_not_done_again(finished, run_again, no_work):
    again = run_again().to_dict()
    first = finished[0].to_dict()
    # Pictures are drawn each time.
    for name, path in list(first["files"].items()):
        if path.endswith(".png"):
            del first["files"][name]
    # The time it was made at.
    assert again.pop("created") >= first.pop("created")
    assert again == first


def test_steps_say_what_is_done(finished, tiny_bert, glue_dir, tmp_path):
    arguments = ("sst2", str(tiny_bert))
    options = {**_FINISHED, "data_dir": glue_dir, "control": True}
    for directory, done in ((finished[1], True), (tmp_path / "none", False)):
        steps = pipeline.check_run(*arguments, directory, **options)
        # Eleven rows, three encoders' caches, fine-tuning and the report.
        assert [step.is_finished for step in steps] == [done] * 16
        assert len({step.title for step in steps}) == 16
        written: set = set()
        for step in steps[:-1]:
            assert written.issuperset(step.inputs), step.title
            written.update(step.outputs)
    assert not directory.exists()


def test_rows_can_be_left_out_of_a_finished_run(run_again, no_work):
    comparison = run_again(frozen=False, control=False)
    assert [system.name for system in comparison.systems] == [
        f"{row}, epoch {epochs}"
        for epochs in ("0.5", "1")
        for row in (
            *(_ENCODER_ROW, _HEAD_ROW, _REGRESSION_ROW),
            _ENSEMBLE_ROWS[0],
        )
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", (0.5, 1.0, 2.0)),
        ("epochs", (2.0,)),
        ("learning_rate", 3e-5),
        ("batch_size", 9),
        ("max_tokens", 31),
        ("dropout", 0.1),
        ("units", 5),
        ("head_epochs", 3),
        ("head_learning_rate", 2e-3),
        ("head_projection_rate", 0.5),
        ("head_batch_size", 9),
        ("head_dropout", 0.25),
        ("pooler", "scalar_mix"),
        ("token_pooling", "flatten"),
        ("cache_dtype", "float32"),
        ("compute_dtype", "mixed_bfloat16"),
        ("seed", 1),
        ("limit", 23),
        ("freeze_layers", 1),
        ("freeze_embeddings", True),
        ("sentence_pooling", "mean"),
    ],
)
def test_changed_setting_is_refused_by_name(
    name, value, finished, run_again, no_work
):
    before = _contents(finished[1])
    with pytest.raises(RunError, match=rf"was made with {name} = ") as caught:
        run_again(**{name: value})
    assert "\n" not in str(caught.value)
    assert _contents(finished[1]) == before


def test_another_task_is_refused(run_again, no_work):
    with pytest.raises(RunError, match='with task = "sst2", not "rte"'):
        run_again(task="rte")


def test_another_encoder_is_refused(tiny_bert, tmp_path, run_again, no_work):
    # The same weights with the other GELU are another encoder.
    other = shutil.copytree(tiny_bert, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    assert config["hidden_act"] != "gelu"
    (other / "config.json").write_text(
        json.dumps({**config, "hidden_act": "gelu"})
    )
    with pytest.raises(RunError, match="was made with encoder = "):
        run_again(backbone=other)


def test_other_data_is_refused(glue_dir, tmp_path, run_again, no_work):
    shutil.copytree(glue_dir / "SST-2", tmp_path / "SST-2")
    path = tmp_path / "SST-2" / "train.tsv"
    text = path.read_bytes()
    path.write_bytes(text.replace(b"warm", b"cosy", 1))
    with pytest.raises(RunError, match="was made with data = "):
        run_again(data_dir=tmp_path)


def test_run_that_could_not_start_leaves_the_directory_free(
    tiny_bert, glue_dir, tmp_path, chosen_rows
):
    arguments = ("wnli", str(tiny_bert), tmp_path)
    with pytest.raises(ArgumentError, match="max_tokens must be at most 128"):
        pipeline.run(*arguments, data_dir=glue_dir, max_tokens=129)
    assert chosen_rows(*arguments, data_dir=glue_dir, max_tokens=128)


def test_every_task_scores_the_encoder_and_its_head(glue_run):
    spec, comparison, _ = glue_run
    names = [system.name for system in comparison.systems]
    ensembles = _ENSEMBLE_ROWS[: 2 if spec.num_labels > 2 else 1]
    assert names == [_ENCODER_ROW, _HEAD_ROW, _REGRESSION_ROW, *ensembles]
    assert comparison.main_metric == spec.metrics[0]
    for system in comparison.systems:
        assert tuple(system.scores) == spec.evaluation_splits
        for scores in system.scores.values():
            assert tuple(scores) == spec.metrics


def _as_written(cell):
    """The number that was written: a float32's fewest digits, or a float64's.

    In float64 a float32's digits mean another number.
    """
    narrow = np.float32(cell)
    return float(narrow) if str(narrow) == cell else float(cell)


def test_scores_are_those_of_the_predictions_file(glue_run):
    spec, comparison, output_dir = glue_run
    read = _as_written if spec.is_regression else spec.label_names.index
    for system in comparison.systems:
        for split, scores in system.scores.items():
            rows = _prediction_rows(comparison, output_dir, system, split)
            assert len(rows) == comparison.examples[split] == 9
            labels, found = (
                np.array([read(row[column]) for row in rows])
                for column in ("label", "prediction")
            )
            for metric, score in scores.items():
                expected = _METRICS[metric](labels, found)
                assert score == pytest.approx(expected, abs=1e-6), metric


def test_report_has_a_column_for_each_split_and_metric(glue_run):
    spec, _, output_dir = glue_run
    text = (output_dir / "report.md").read_text(encoding="utf-8")
    header = next(line for line in text.splitlines() if "| system" in line)
    for split in spec.evaluation_splits:
        for metric in spec.metrics:
            one = len(spec.evaluation_splits) == 1
            column = metric if one else f"{split.replace('_', ' ')} {metric}"
            assert f"| {column} |" in header


def test_baseline_answers_the_most_frequent_training_class(glue_run):
    spec, comparison, output_dir = glue_run
    if spec.is_regression:
        assert comparison.baseline == {}
        return
    cache = HiddenStateCache(output_dir / "cache" / "epoch_1" / "train")
    counts = np.bincount(cache.labels())
    assert counts.max() > sorted(counts)[-2], "needs one most frequent class"
    assert tuple(comparison.baseline) == spec.evaluation_splits
    for split, scores in comparison.baseline.items():
        cache = HiddenStateCache(output_dir / "cache" / "epoch_1" / split)
        labels = cache.labels()
        found = np.full(len(labels), counts.argmax())
        assert scores == pytest.approx(
            {name: _METRICS[name](labels, found) for name in spec.metrics}
        )


def test_baseline_is_made_from_the_training_labels():
    labels = {"train": [0, 1, 1, 1], "validation": [0, 0, 0, 1]}
    state = types.SimpleNamespace(
        task=tasks.get("sst2"),
        examples={
            split: dataclasses.replace(
                make_examples(4, split=split), labels=np.array(found)
            )
            for split, found in labels.items()
        },
    )
    assert majority_baseline(state) == {"validation": {"accuracy": 0.25}}


@pytest.mark.full
def test_dtypes_and_pooler_can_be_chosen(tiny_bert, glue_dir, tmp_path):
    with short_report():
        comparison = pipeline.run(
            "mrpc",
            str(tiny_bert),
            tmp_path,
            data_dir=glue_dir,
            frozen=False,
            pooler="scalar_mix",
            token_pooling="flatten",
            cache_dtype="float16",
            compute_dtype="mixed_bfloat16",
            **FAST,
        )
    cache = HiddenStateCache(tmp_path / "cache" / "epoch_1" / "train")
    assert cache.dtype == "float16"
    # Three layers are mixed into one: 3 weights and a scale.
    head = comparison.systems[1].trained_parameters
    assert head == 4 + 4 * 17 + 2 * (32 * 4 + 1)


_REGULARIZED = {
    **FAST,
    "head_epochs": 1,
    "epochs": (1.0,),
    "freeze_layers": 1,
    "freeze_embeddings": True,
    "dropout": 0.1,
}


@pytest.fixture(scope="module")
def regularized(tiny_bert, glue_dir, tmp_path_factory):
    """A run with frozen parts and dropout, its directory, and the rates.

    Those of the encoder and of the head, for each time it is fine-tuned.
    """
    output_dir = tmp_path_factory.mktemp("regularized")
    rates, original = [], fine_tuning.finetune

    def finetune(encoder, task, examples, directory, config, **options):
        rates.append((encoder.backbone.dropout, config.dropout))
        return original(encoder, task, examples, directory, config, **options)

    with pytest.MonkeyPatch.context() as patched, short_report():
        patched.setattr(fine_tuning, "finetune", finetune)
        comparison = pipeline.run(
            "sst2",
            str(tiny_bert),
            output_dir,
            data_dir=glue_dir,
            frozen=False,
            control=True,
            **_REGULARIZED,
        )
    return comparison, output_dir, rates


def test_frozen_run_says_so_and_counts_what_is_trained(regularized, tiny_bert):
    comparison, output_dir, _ = regularized
    part = "embeddings and 1 lowest layer frozen"
    names = [
        f"fine-tuned encoder, {part}",
        "pooled head on it",
        f"encoder after one more epoch, {part}",
    ]
    kinds = ("encoder", "head", "control")
    systems = [s for s in comparison.systems if s.kind in kinds]
    assert [system.name for system in systems] == names
    config = json.loads((tiny_bert / "config.json").read_text())
    whole = _bert_parameters(config)
    width = config["hidden_size"]
    one_layer = _bert_parameters({**config, "num_hidden_layers": 1})
    # A layer, the pooler and the classifier are left.
    trained = whole - one_layer + width * (width + 1) + 2 * (width + 1)
    for system in systems[::2]:
        assert system.trained_parameters == trained
        assert system.total_parameters == whole + 2 * (width + 1)
        assert system.compression == pytest.approx(whole / trained)
    first = load_backbone(tiny_bert).backbone.weights
    for folder in ("finetune", "control"):
        encoder = load_backbone(output_dir / folder / "epoch_1" / "encoder")
        weights = {w.path: w.numpy() for w in encoder.backbone.weights}
        same = [w.path for w in first if np.array_equal(weights[w.path], w)]
        assert {path.split("/")[0] for path in same} == {
            *("token_embedding", "position_embedding", "segment_embedding"),
            *("embeddings_layer_norm", "transformer_layer_0"),
        }


@pytest.mark.full
def test_run_of_an_encoder_trained_with_the_mean(tiny_bert, glue_dir, tmp_path):
    model = shutil.copytree(tiny_bert, tmp_path / "model")
    (model / "1_Pooling").mkdir()
    (model / "1_Pooling" / "config.json").write_text(
        '{"pooling_mode_mean_tokens": true}'
    )
    output_dir = tmp_path / "run"
    options = {**FAST, "head_epochs": 1, "data_dir": glue_dir, "control": True}
    comparison = pipeline.run("sst2", str(model), output_dir, **options)
    settings = json.loads((output_dir / "settings.json").read_text())
    assert settings["sentence_pooling"] == "mean"
    assert comparison.settings["sentence_pooling"] == "mean"
    config = json.loads((tiny_bert / "config.json").read_text())
    width = config["hidden_size"]
    # All but the pooler, and the classifier.
    whole = _bert_parameters(config)
    trained = whole - width * (width + 1) + 2 * (width + 1)
    for kind in ("encoder", "control"):
        (system,) = [s for s in comparison.systems if s.kind == kind]
        assert system.trained_parameters == trained
        assert system.total_parameters == whole + 2 * (width + 1)
    for folder in ("finetune", "control"):
        encoder = load_backbone(output_dir / folder / "epoch_1" / "encoder")
        assert encoder.sentence_pooling == "mean"
    # Again, by the same command and by one that says it.
    before = _contents(output_dir)
    for more in ({}, {"sentence_pooling": "mean"}):
        again = pipeline.run("sst2", str(model), output_dir, **options, **more)
        assert [s.scores for s in again.systems] == [
            s.scores for s in comparison.systems
        ]
    assert _contents(output_dir).keys() == before.keys()
    with pytest.raises(RunError, match='sentence_pooling = "mean", not "cls"'):
        pipeline.run("sst2", str(tiny_bert), output_dir, **options)


def test_dropout_of_fine_tuning(
    regularized, tiny_bert, glue_dir, tmp_path, monkeypatch
):
    assert regularized[2] == [(0.1, 0.1), (0.1, 0.1)]

    def finetune(encoder, task, examples, directory, config, **options):
        assert (encoder.backbone.dropout, config.dropout) == (0, 0)
        raise InterruptedError

    monkeypatch.setattr(fine_tuning, "finetune", finetune)
    arguments = ("sst2", str(tiny_bert), tmp_path)
    with pytest.raises(InterruptedError):
        pipeline.run(*arguments, data_dir=glue_dir, **FAST)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("freeze_layers", "made with freeze_layers = 1, not 0"),
        ("dropout", r"made with dropout = 0.1, not 0.0"),
    ],
)
def test_regularized_run_is_refused_without(
    regularized, tiny_bert, glue_dir, name, message
):
    options = {k: v for k, v in _REGULARIZED.items() if k != name}
    arguments = ("sst2", str(tiny_bert), regularized[1])
    with pytest.raises(RunError, match=message):
        pipeline.run(*arguments, data_dir=glue_dir, **options)


def test_more_frozen_layers_than_there_are(tiny_bert, glue_dir, tmp_path):
    with pytest.raises(ArgumentError, match=r"freeze_layers: .* from 0 to 2"):
        pipeline.run(
            *("sst2", str(tiny_bert), tmp_path),
            data_dir=glue_dir,
            freeze_layers=3,
        )


def test_limit_keeps_the_same_rows_for_every_seed(
    tiny_bert, glue_dir, tmp_path, chosen_rows
):
    first, second = (
        chosen_rows(
            *("cola", str(tiny_bert), tmp_path / str(seed)),
            data_dir=glue_dir,
            seed=seed,
            limit=7,
        )
        for seed in (0, 1)
    )
    assert len(first) == 7
    assert first == second
    assert first != tuple(map(str, range(7)))


def test_settings_default_to_the_task_and_the_size_of_the_encoder():
    task = tasks.get("rte")
    small = pipeline.RunSettings.for_task(task, 384, seed=None, epochs=None)
    assert small.finetune.epochs == task.small_settings.finetune.epochs
    assert (small.seed, small.finetune.max_tokens) == (0, 250)
    large = pipeline.RunSettings.for_task(task, 768, batch_size=7)
    assert large.head.units == task.paper_settings.head.units
    assert (small.finetune.dropout, large.finetune.dropout) == (0, 0.1)
    assert large.finetune.batch_size == 7
    seeds = pipeline.RunSettings.for_task(task, 768, seed=5)
    assert (seeds.finetune.seed, seeds.head.seed) == (5, 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", ()),
        ("epochs", (1.0, 0.0)),
        ("epochs", (float("nan"),)),
        ("epochs", (float("inf"),)),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("head_learning_rate", float("nan")),
        ("head_projection_rate", 0.0),
        ("batch_size", 0),
        ("units", -1),
        ("head_epochs", 0),
        ("head_batch_size", 0),
        ("dropout", 1.0),
        ("head_dropout", 1.0),
        ("head_dropout", float("nan")),
        ("limit", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("pooler", "mean"),
        ("token_pooling", "max"),
        ("cache_dtype", "int4"),
        ("freeze_layers", -1),
        ("sentence_pooling", "max"),
        ("no_such_setting", 1),
    ],
)
def test_unusable_setting_is_named(name, value):
    with pytest.raises(ArgumentError, match=f"^{name}: ") as caught:
        pipeline.RunSettings.for_task(tasks.get("rte"), 16, **{name: value})
    assert "\n" not in str(caught.value)


def _prediction_rows(comparison, output_dir, system, split):
    path = output_dir / comparison.files[f"{system.name}, {split}"]
    header, *rows = path.read_text(encoding="utf-8").strip("\n").split("\n")
    columns = header.split("\t")
    return [dict(zip(columns, row.split("\t"), strict=True)) for row in rows]


def _f1(labels, predictions):
    both = ((labels == 1) & (predictions == 1)).sum()
    either = (labels == 1).sum() + (predictions == 1).sum()
    return 2 * both / either if either else 0.0


def _correlation(labels, predictions):
    if len(set(predictions)) == 1:
        return 0.0
    return np.corrcoef(labels, predictions)[0, 1]


def _ranks(values):
    return np.array(
        [(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values]
    )


_METRICS = {
    "accuracy": lambda labels, found: (labels == found).mean(),
    "f1": _f1,
    # Of two classes it is the correlation of 0 and 1.
    "matthews": _correlation,
    "pearson": _correlation,
    "spearman": lambda labels, found: _correlation(
        _ranks(labels), _ranks(found)
    ),
}


def _bert_parameters(config):
    """Devlin et al. 2019, with the pooler."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    embeddings = width * (
        config["vocab_size"]
        + config["max_position_embeddings"]
        + config["type_vocab_size"]
        + 2
    )
    attention = 4 * width * (width + 1) + 2 * width
    dense = inner * (width + 1) + width * (inner + 1) + 2 * width
    layers = config["num_hidden_layers"] * (attention + dense)
    return embeddings + layers + width * (width + 1)


def _contents(directory):
    """Every file with its size and time of change; locks left out."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
