"""From table files to a task, its examples and the table of findings."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import rich.console

from bvkeras import tasks
from bvkeras.data.sources import load_examples
from bvkeras.data.tables.describe import describe_table
from bvkeras.data.tables.findings_table import print_findings
from bvkeras.errors import ArgumentError, BvkerasError
from bvkeras.tasks.table_files import TableFiles
from tests.data.tables.written import HARD_TEXTS, write_rows, write_text

TOPICS = ("arts", "sport", "🙂", "שלום")


def topics(count=60):
    return [
        {
            "text": f"{HARD_TEXTS[n % len(HARD_TEXTS)]} {n}",
            "topic": TOPICS[n % len(TOPICS)],
            "score": n / 8,
            "whole": n % 3,
        }
        for n in range(count)
    ]


def described(path, label="topic", text="text", validation=(), **options):
    files = TableFiles((str(path),), tuple(map(str, validation)))
    return describe_table(files, text, label, **options)


def found(description):
    return {item.what: item for item in description.findings.findings}


@pytest.mark.parametrize("ending", ["csv", "tsv.gz", "jsonl", "parquet"])
def test_classes(tmp_path, ending):
    path = write_rows(tmp_path / f"News 1.{ending}", topics())
    table = described(path)
    spec = table.spec
    assert spec.name == spec.title == "news_1"
    assert spec.label_names == tuple(sorted(TOPICS))
    assert spec.metrics == ("accuracy", "macro_f1")
    assert spec.source == "table"
    assert spec.splits == ("train", "validation")
    train, validation = table.examples["train"], table.examples["validation"]
    assert (len(train), len(validation)) == (52, 8)
    assert set(validation.labels) == {0, 1, 2, 3}
    rows = topics()
    first = 1 if ending in ("jsonl", "parquet") else 2
    for examples in (train, validation):
        for name, text, label in zip(
            examples.ids, examples.texts_a, examples.labels, strict=True
        ):
            stem, _, number = name.rpartition("-")
            row = rows[int(number) - first]
            assert stem == "News 1"
            assert text == row["text"]
            assert spec.label_names[label] == row["topic"]


def test_the_same_examples_are_loaded_again(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "a.csv", topics())
    table = described(path)
    for split, examples in table.examples.items():
        again = load_examples(table.spec, split)
        assert again.digest == examples.digest
    with pytest.raises(ArgumentError, match="split: a has no split 'test'"):
        load_examples(table.spec, "test")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path.rename(elsewhere / "a.csv")
    moved = load_examples(table.spec, "train", elsewhere)
    assert moved.digest == table.examples["train"].digest


def test_scores(tmp_path):
    table = described(write_rows(tmp_path / "a.csv", topics()), "score")
    assert table.spec.is_regression
    assert table.spec.label_range == (0.0, 59 / 8)
    assert table.spec.metrics == ("pearson", "spearman", "r2")
    assert table.examples["train"].labels.dtype == np.float32
    assert len(table.examples["validation"]) in range(6, 13)
    assert "labels: regression, inferred: numbers with a fraction" in found(
        table
    )


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_several_labels(tmp_path, ending):
    rows = [
        {"text": f"text {n}", "label": ["b"] * (n % 2) + ["a"] * (n % 3 > 1)}
        for n in range(60)
    ]
    if ending == "csv":
        rows = [row | {"label": "|".join(row["label"])} for row in rows]
    path = write_rows(tmp_path / f"a.{ending}", rows)
    options = {"kind": "multilabel"} if ending == "csv" else {}
    table = described(path, "label", **options)
    spec = table.spec
    assert (spec.kind, spec.label_names) == (tasks.Kind.LABELS, ("a", "b"))
    assert spec.metrics == ("micro_f1", "macro_f1", "subset_accuracy")
    assert not spec.is_regression
    record = json.loads(json.dumps(tasks.task_to_record(spec)))
    assert tasks.task_from_record(record, "there") == spec
    for split, examples in table.examples.items():
        assert load_examples(spec, split).digest == examples.digest
        assert examples.labels.shape == (len(examples), 2)
        # A share of each label's rows, and of those without any.
        assert examples.labels.any(axis=0).all()
        assert (~examples.labels.any(axis=1)).any()
        for text, labels in zip(
            examples.texts_a, examples.labels.tolist(), strict=True
        ):
            n = int(text.split()[1])
            assert labels == [n % 3 > 1, n % 2]
    assert len(table.examples["train"]) in range(50, 58)
    assert "training: rows without any label" in found(table)


def test_columns_of_labels(tmp_path):
    rows = [
        {"text": f"text {n}", "odd": n % 2, "third": n % 3 < 1, "never": 0}
        for n in range(40)
    ]
    rows[7]["odd"] = None
    path = write_rows(tmp_path / "a.jsonl", rows)
    table = described(path, ["odd", "third", "never"])
    spec = table.spec
    assert spec.label_names == spec.label_columns == ("odd", "third", "never")
    record = json.loads(json.dumps(tasks.task_to_record(spec)))
    assert tasks.task_from_record(record, "there") == spec
    for split, examples in table.examples.items():
        assert load_examples(spec, split).digest == examples.digest
        odd = [int(text.split()[1]) % 2 for text in examples.texts_a]
        np.testing.assert_array_equal(examples.labels[:, 0], odd)
    assert sum(map(len, table.examples.values())) == 39
    assert found(table)["training: labels without a row"].note == "'never'"


def test_labels_of_validation_that_training_never_saw(tmp_path):
    rows = [{"text": f"a {n}", "topic": "xy"[n % 2]} for n in range(20)]
    train = write_rows(tmp_path / "a.csv", rows)
    rows[3]["topic"] = "x|z"
    other = write_rows(tmp_path / "b.csv", rows)
    table = described(train, validation=[other], kind="multilabel")
    assert len(table.examples["validation"]) == 19
    rows[4]["topic"] = rows[5]["topic"] = "z"
    write_rows(tmp_path / "b.csv", rows)
    with pytest.raises(BvkerasError, match="row 5: topic is 'z', which no"):
        described(train, validation=[other], kind="multilabel")


def test_kind_may_be_given(tmp_path):
    path = write_rows(tmp_path / "a.csv", topics())
    assert described(path, "whole").spec.label_names == ("0", "1", "2")
    table = described(path, "whole", kind="regression")
    assert table.spec.is_regression
    assert "labels: regression, given" in found(table)


def test_pairs_and_ids(tmp_path):
    rows = [row | {"b": f"b {n}", "id": f"x{n}"} for n, row in
            enumerate(topics())]  # fmt: skip
    path = write_rows(tmp_path / "a.csv", rows)
    files = TableFiles((str(path),), id_column="id")
    train = describe_table(files, ["text", "b"], "topic").examples["train"]
    for name, text_b in zip(train.ids, train.texts_b, strict=True):
        assert text_b == f"b {name.removeprefix('x')}"


def test_files_of_one_name_have_rows_of_their_own(tmp_path):
    for number, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "part.csv", topics()[number::2])
    table = described(tmp_path / "*" / "part.csv", name="parts")
    ids = table.examples["train"].ids
    assert {name.rpartition("-")[0] for name in ids} == {"a/part", "b/part"}


def test_name_comes_from_the_folder_of_train_csv(tmp_path):
    (tmp_path / "RTE").mkdir()
    path = write_rows(tmp_path / "RTE" / "train.csv", topics())
    assert described(path).spec.name == "rte_table"
    assert described(path, name="mine", title="My own").spec.title == "My own"


def test_validation_file(tmp_path):
    path = write_rows(tmp_path / "a.csv", topics())
    other = write_rows(tmp_path / "b.csv", topics(90)[50:])
    table = described(path, validation=[other])
    assert len(table.examples["train"]) == 60
    assert len(table.examples["validation"]) == 40
    item = found(table)["validation: rows whose text is in training"]
    assert (item.count, item.note) == (10, "first: b.csv row 2")


def test_findings(tmp_path):
    rows = topics()
    rows[3]["text"] = " "
    rows[4]["topic"] = ""
    rows[6]["text"] = rows[1]["text"].upper()
    rows[9]["text"] = rows[1]["text"]
    rows.append({"text": "alone", "topic": "one", "score": 0, "whole": 0})
    path = write_rows(tmp_path / "a.csv", rows)
    other = topics(100)[60:]
    other[0]["topic"] = "new"
    validation = write_rows(tmp_path / "b.csv", other)

    def token_lengths(texts_a, texts_b):
        assert texts_b is None
        return [len(text) for text in texts_a]

    table = described(
        path,
        validation=[validation],
        max_tokens=20,
        token_lengths=token_lengths,
    )
    assert [
        (item.what, item.count, item.of, item.is_warning)
        for item in table.findings.findings
    ] == [
        ("labels: classification, inferred: labels that are words", 59, None,
         False),
        ("training: rows read", 61, None, False),
        ("training: rows with an empty text, dropped", 1, 61, True),
        ("training: rows without a label, dropped", 1, 61, True),
        ("validation: rows read", 40, None, False),
        ("validation: rows with a label that training never saw, dropped", 1,
         40, True),
        ("training: rows with text and label of an earlier row", 1, 59, False),
        ("training: rows whose text has different labels", 3, 59, True),
        ("training: classes with one row", 1, 5, True),
        ("training: rows of the largest class", 15, 59, False),
        ("training: rows whose text is cut", 13, 59, True),
    ]  # fmt: skip
    record = json.loads(json.dumps(table.findings.to_record()))
    assert record[2]["share"] == pytest.approx(1 / 61)
    assert record[2]["note"] == "first: a.csv row 5"
    lines = table.findings.lines()
    assert len(lines) == 12
    assert lines[3].split("  ")[0] == "!"
    output = io.StringIO()
    console = rich.console.Console(file=output, width=100)
    print_findings(table.findings, console)
    assert "a.csv row 5" in output.getvalue()


def test_held_out_is_said(tmp_path):
    item = found(described(write_rows(tmp_path / "a.csv", topics())))[
        "validation: rows held out of training"
    ]
    assert (item.count, item.of) == (8, 60)
    assert item.note == "some of each class, no text on both sides, seed 0"


def test_tokens_and_settings_fit_the_rows(tmp_path):
    path = write_rows(tmp_path / "a.csv", topics())
    table = described(path, token_lengths=lambda a, b: [70] * len(a))
    assert table.spec.small_settings.finetune.max_tokens == 80
    assert table.spec.paper_settings.finetune.max_tokens == 80
    assert table.spec.small_settings.head.epochs > 6
    assert described(path).spec.small_settings.finetune.max_tokens == 128


def test_many_rows_are_counted_in_part(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", topics(6000))
    seen = []

    def token_lengths(texts_a, texts_b):
        seen.append(len(texts_a))
        return [10] * len(texts_a)

    table = described(path, token_lengths=token_lengths)
    assert seen == [5000]
    assert "training: rows whose text is cut, of 5,000 counted" in found(table)


def mistakes():
    good = "text,topic\na,x\nb,y\nc,x\nd,y\n"
    yield (
        "wrong text column",
        good,
        {"text": "review"},
        ("row 1: no column 'review', expected one of 'text', 'topic'"),
    )
    yield (
        "wrong label column",
        good,
        {"label": "topics"},
        (
            "row 1: no column 'topics', expected one of 'text', 'topic'; is it "
            "'topic'?"
        ),
    )
    yield (
        "text column as label",
        good,
        {"label": "text"},
        ("label: got 'text' with texts text, expected different columns"),
    )
    yield (
        "wrong separator",
        good,
        {"separator": ";"},
        ("the whole header is one cell: is the separator ',' and not ';'?"),
    )
    yield "no header", good.partition("\n")[2], {}, "row 1: no column 'text'"
    yield (
        "label column of floats",
        "text,topic\na,1\nb,2.5\nc,1\n",
        {"kind": "classification"},
        "row 3: topic is 2.5, expected a class",
    )
    yield (
        "names as scores",
        good,
        {"kind": "regression"},
        ("row 2: topic is 'x', expected a number; words are classes"),
    )
    yield (
        "texts as labels",
        "text,topic\nx,a\ny,b\nx,c\ny,d\n",
        {},
        ("row 2: topic is 'a', and different in each of 4 rows"),
    )
    yield (
        "a column of numbers as texts",
        "text,topic\n17,x\n-2.5,y\n3e4,x\n",
        {},
        ("row 2: text is '17', and a number in each of 3 rows; expected texts"),
    )
    yield (
        "one class",
        "text,topic\na,x\nb,x\n",
        {},
        ("row 2: topic is 'x' in every row, expected two classes or more"),
    )
    yield (
        "no labels",
        "text,topic\na,\nb,\n",
        {},
        ("row 2: is one of 2 rows without a label in 'topic'"),
    )
    yield (
        "an unquoted comma",
        "text,topic\na,x\nb, and c,y\n",
        {},
        ("row 3: has 3 cells, expected 2 as in the header"),
    )
    yield (
        "training as validation",
        good,
        {"validation": ["a.csv"]},
        ("is a file of training and of validation"),
    )
    yield (
        "other labels in validation",
        good,
        {"validation": ["b.csv"]},
        ("b.csv: row 2: topic is 'X', which no training row has"),
    )
    yield (
        "a kind there is not",
        good,
        {"kind": "classes"},
        ("kind: got 'classes', expected one of classification, regression"),
    )
    yield (
        "a built-in task's name",
        good,
        {"name": "rte"},
        ("name: 'rte' is a task of bvkeras"),
    )
    yield (
        "a name that is a path",
        good,
        {"name": "../a"},
        ("name: got '../a', expected letters, digits"),
    )
    yield (
        "three texts",
        good,
        {"text": ["a", "b", "c"]},
        ("text: got 3 columns, expected one or two"),
    )
    yield (
        "lists of labels",
        'text,topic\na,"[""x""]"\n',
        {},
        ("row 2: topic says 'x' in every row, expected labels that differ"),
    )
    yield (
        "a label in one row each",
        "text,topic\na,x\nb,y|z\nc,u\n",
        {"kind": "multilabel"},
        ("row 2: topic has 4 labels in 3 rows and none in two of them"),
    )
    yield (
        "a label with what stands between labels",
        'text,topic\na,"[""x|y""]"\nb,[]\n',
        {},
        ("row 2: topic has the label 'x|y', expected names without '|'"),
    )
    yield (
        "texts instead of words with a tag each",
        "text,topic\na good day,sport\nb,O\n",
        {"kind": "tokens"},
        "row 2: has 3 text and 1 topic, expected a tag for each word",
    )
    yield (
        "several columns of classes",
        "text,topic,other\na,x,y\n",
        {"kind": "classification", "label": ["topic", "other"]},
        ("label: got 2 columns, expected one of kind classification"),
    )
    yield (
        "too few rows",
        "text,topic\na,x\nb,y\nc,x\n",
        {},
        ("and 2 other rows are too few to hold 10% out"),
    )
    yield (
        "an id twice",
        "text,topic,id\na,x,1\nb,y,1\n",
        {"id_column": "id"},
        "row 3: id is '1' again, as in ",
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [pytest.param(*row[1:], id=row[0]) for row in mistakes()],
)
def test_the_commonest_mistakes_are_one_line(tmp_path, text, options, message):
    path = write_text(tmp_path / "a.csv", text)
    write_text(tmp_path / "b.csv", "text,topic\ne,X\nf,Y\n")
    options = dict(options)
    validation = options.pop("validation", ())
    files = {
        name: options.pop(name)
        for name in ("separator", "id_column")
        if name in options
    }
    with pytest.raises(BvkerasError) as caught:
        describe_table(
            TableFiles(
                (str(path),),
                tuple(str(tmp_path / name) for name in validation),
                **files,
            ),
            options.pop("text", "text"),
            options.pop("label", "topic"),
            **options,
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_are_described_without_keras(tmp_path):
    path = write_rows(tmp_path / "a.csv", topics())
    script = f"""
import sys
from bvkeras.data.tables.describe import describe_table
from bvkeras.tasks.table_files import TableFiles
describe_table(TableFiles(({str(path)!r},)), "text", "topic")
slow = {{"keras", "tensorflow", "pyarrow"}} & set(sys.modules)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    rows = '{"text": "\\ud83d", "topic": "x"}\n{"text": "b", "topic": "y"}\n'
    path = write_text(tmp_path / "a.jsonl", rows)
    with pytest.raises(BvkerasError, match="row 1: text holds half of a"):
        described(path)


def test_table_files_are_checked():
    with pytest.raises(ArgumentError, match="train: received no file"):
        TableFiles(())
    with pytest.raises(ArgumentError, match=r"held_out: got 1\.5, expected"):
        TableFiles(("a.csv",), held_out=1.5)


def test_table_files_are_absolute_and_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = TableFiles("a.csv", [tmp_path / "b" / "*.csv"])
    assert files.train == (str(tmp_path / "a.csv"),)
    assert files.validation == (str(tmp_path / "b" / "*.csv"),)
    assert files == TableFiles((str(tmp_path / "a.csv"),), files.validation)
    assert hash(files) == hash(TableFiles("a.csv", "b/*.csv"))


def test_ids_stand_in_tab_separated_files(tmp_path):
    path = write_text(tmp_path / "a.csv", 'text,topic,id\na,x,1\nb,y,"2\t"\n')
    files = TableFiles(str(path), id_column="id")
    with pytest.raises(BvkerasError, match=r"row 3: id is .*without tabs"):
        describe_table(files, "text", "topic")
    path = write_rows(tmp_path / "a\tb.csv", topics())
    assert described(path).examples["train"].ids[0].startswith("a b-")


def test_sources_without_data_are_refused():
    spec = tasks.get("rte")
    for change, message in (
        ({"source": "web"}, "task: rte has the source 'web', expected one of"),
        ({"source": "table"}, "task: rte is of source 'table' and has no"),
        ({"name": "mine"}, "task: mine is none of GLUE's, expected one of"),
    ):
        wrong = tasks.TaskSpec(**(vars(spec) | change))
        with pytest.raises(ArgumentError, match=message):
            load_examples(wrong, "train")
