"""`bvkeras cache import`, and the verbs that work on what it made."""

import csv

import numpy as np
import pytest

from bvkeras import tasks
from bvkeras.cache.imports.importer import import_cache
from bvkeras.cache.reader import HiddenStateCache
from bvkeras.cache.writer import write_cache
from bvkeras.cli.main import main
from bvkeras.data.sources import load_examples
from bvkeras.encoders.loading import load_backbone
from bvkeras.errors import DataError
from bvkeras.evaluation.evaluate import evaluate_head
from bvkeras.training.head import train_head
from tests.cache.imports.dumped import dump, states_of

_HEAD = ("--units", "2", "--head-epochs", "2")


@pytest.fixture(scope="module")
def home(states, labels, tmp_path_factory):
    """Two imported splits of a task of one's own, and a head on one."""
    home = tmp_path_factory.mktemp("home")
    dump("npz with a mask", states, home / "train")
    dump("a file for each request", states[:9], home / "validation")
    with open(home / "train.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["mood"])
        table.writerows([["sad", "glad"][label]] for label in labels)
    # By the names of the files, in another order.
    with open(home / "validation.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["name", "mood"])
        for row in reversed(range(9)):
            table.writerow([f"{row}-9f3a", ["sad", "glad"][labels[row]]])
    return home


def run(home, line, expected=0):
    arguments = [part.replace("HOME", str(home)) for part in line.split()]
    assert main(arguments) == expected


def import_both(home):
    """Both splits, in `c`; what is there already stays."""
    run(
        home,
        "cache import HOME/train/states.npz --name mood --encoder llm "
        "--labels HOME/train.csv --label mood --output-dir HOME/c/train "
        "--cache-dtype float32",
    )
    run(
        home,
        "cache import HOME/validation --task HOME/c/train --encoder llm "
        "--labels HOME/validation.csv --label mood --id-column name "
        "--split validation --max-tokens 16 --output-dir HOME/c/validation "
        "--cache-dtype float32",
    )


def test_from_states_to_scores(home, states, labels, capsys, tmp_path):
    import_both(home)
    told = capsys.readouterr().out.splitlines()
    assert "23 examples, 3 layers, 16 features, float32" in told[0]
    names = tasks.get(home / "c" / "train").label_names
    assert names == ("glad", "sad")
    cache = HiddenStateCache(home / "c" / "validation")
    assert cache.labels().tolist() == [1 - label for label in labels[:9]]
    for found, expected in zip(states_of(cache), states, strict=False):
        np.testing.assert_array_equal(found, expected)
    for name, options in (
        ("head", _HEAD),
        ("regression", ("--head", "regression")),
    ):
        run(
            home,
            "train HOME/c/train --cache HOME/c/train --output-dir "
            f"HOME/{name} {' '.join(options)}",
        )
        run(
            home,
            f"evaluate HOME/c/train --head HOME/{name} --cache "
            f"HOME/c/validation --output-dir HOME/scores/{name}",
        )
    run(
        home,
        "errors HOME/scores/head/validation.tsv "
        "HOME/scores/regression/validation.tsv",
    )
    run(home, "cache info HOME/c/validation")
    run(home, "cache verify HOME/c/validation")
    run(home, "cache prune HOME/c/validation")
    told = capsys.readouterr().out
    assert "accuracy: " in told
    assert "llm, not one of bvkeras" in told
    assert "validation (9 files, " in told

    (tmp_path / "texts.csv").write_text("text\na\n")
    for line in (
        f"export HOME/head --output {tmp_path}/export --encoder nothing",
        f"predict HOME/head --input {tmp_path}/texts.csv --output "
        f"{tmp_path}/answers.csv --encoder nothing",
    ):
        run(home, line, expected=1)
        error = capsys.readouterr().err
        assert error == (
            f"error: runs: the head in {home}/head is of hidden states "
            "imported from 'llm', which bvkeras cannot compute from texts\n"
        )


@pytest.mark.full
def test_search_on_imported_states(home, capsys, tmp_path):
    import_both(home)
    run(
        home,
        f"tune HOME/c/train --cache HOME/c/train --evaluation-cache "
        f"HOME/c/validation --output-dir {tmp_path}/tune --trials 2 "
        "--finalists 0 --set units=2 --set epochs=1",
    )
    assert "| trial | accuracy |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--task sst2 --kind regression", "--kind: expected with --name, got"),
        ("--name mood --data-dir .", "--data-dir: expected with --task"),
        ("--name mood --id-column a", "--id-column: expected with a table"),
        ("--name mood", "--labels: none lie beside the states of"),
        ("--task sst2", "--labels: none lie beside the states of"),
        ("--name mood --labels moods", "--labels: nothing beside the states"),
        ("--task sst2 --lengths ids", "has no 'ids', it has hidden_states"),
        ("--task sst2 --ids x.npy", "x.npy: there is no such file"),
        ("--task rte --data-dir nowhere", "nowhere: is not a directory"),
    ],
)
def test_refusals(home, line, message, capsys, tmp_path):
    run(
        home,
        f"cache import HOME/train/states.npz {line} --encoder llm "
        f"--output-dir {tmp_path}/cache",
        expected=1,
    )
    (error,) = capsys.readouterr().err.splitlines()
    assert message in error
    assert not (tmp_path / "cache").exists()


def test_files_that_a_shell_sorted(tmp_path, states):
    """10 comes after 9."""
    dump("a file for each request", states[:11], tmp_path / "many")
    np.save(tmp_path / "labels.npy", np.arange(11) % 2)
    files = " ".join(map(str, sorted((tmp_path / "many").iterdir())))
    run(
        tmp_path,
        f"cache import {files} --task sst2 --labels HOME/labels.npy "
        "--encoder llm --output-dir HOME/cache --cache-dtype float32",
    )
    cache = HiddenStateCache(tmp_path / "cache")
    for found, expected in zip(states_of(cache), states[:11], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_tasks_own_labels(states, glue_dir, tmp_path):
    """Rows of official files, in their order; the digest is theirs."""
    examples = load_examples("sst2", "train", glue_dir)
    some = [states[row % len(states)] for row in range(len(examples))]
    dump("npz with offsets", some, tmp_path / "dumped")
    run(
        tmp_path,
        f"cache import HOME/dumped/states.npz --task sst2 --data-dir "
        f"{glue_dir} --encoder llm --output-dir HOME/cache",
    )
    cache = HiddenStateCache(tmp_path / "cache")
    assert cache.manifest.identity["data"] == examples.digest
    assert cache.labels().tolist() == examples.labels.tolist()


def test_tagged_words(tiny_bert, token_run, tmp_path):
    """States and offsets of each sentence; the tags are the task's own."""
    task = tasks.get(token_run)
    examples = load_examples(task, "validation")
    encoder = load_backbone(tiny_bert, dropout=0.0)
    written = write_cache(
        encoder, task, examples, tmp_path / "written", dtype="float32"
    )
    records = list(written.records().as_numpy_iterator())
    arrays = {
        "hidden_states": np.concatenate([r["hidden_states"] for r in records]),
        "offset_mapping": np.concatenate([r["offsets"] for r in records]),
        "lengths": written.lengths(),
    }
    # As Hugging Face's tokenizers have special tokens.
    offsets = arrays["offset_mapping"]
    offsets[offsets < 0] = 0
    cache = import_cache(
        arrays,
        task,
        tmp_path / "cache",
        encoder="llm",
        labels=examples,
        max_tokens=128,
        dtype="float32",
    )
    # But for second pieces of a word that one tokenizer cuts in two.
    found, expected = cache.labels(), written.labels()
    same = found == expected
    assert same.mean() > 0.9
    assert (found[~same] == -1).all()
    head = train_head(task, cache, tmp_path / "head", units=2, epochs=1)
    scores = evaluate_head(task, head, cache, tmp_path / "scores", examples)
    assert set(scores.metrics) == set(task.metrics)
    for name, value, message in (
        ("offset_mapping", offsets[:-1], "expected .* as the hidden states"),
        ("offset_mapping", offsets + 500, "row 0: offset_mapping goes to"),
        ("ids", np.array(examples.ids[::-1]), "stand in another order than"),
    ):
        with pytest.raises(DataError, match=message):
            import_cache(
                {**arrays, name: value},
                task,
                tmp_path / "refused",
                encoder="llm",
                labels=examples,
            )
    del arrays["offset_mapping"]
    with pytest.raises(DataError, match="has no offset_mapping, expected"):
        import_cache(
            arrays,
            task,
            tmp_path / "refused",
            encoder="llm",
            labels=examples,
        )
