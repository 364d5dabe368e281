"""What a look at an export finds, and that it only looks."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bvkeras.cli import main as cli
from bvkeras.errors import BvkerasError, DataError
from bvkeras.serving import (
    ServedHead,
    ServedTask,
    export,
    inspect,
    layout,
    loading,
)
from bvkeras.serving.inspection import format_inspection
from bvkeras.serving.rest.loaded_version import LoadedVersion
from bvkeras.tasks import Kind
from bvkeras.tasks.window_plan import WindowPlan
from tests.serving.attacks import ATTACKS, rewrite, seal


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported.second, tmp_path / "export" / "2")


@pytest.fixture
def first(exported, tmp_path):
    """A copy of the smaller version."""
    return shutil.copytree(exported.first, tmp_path / "export" / "1")


@pytest.fixture
def edit(copy):
    """Changes the graph on disk."""

    def change(function):
        rewrite(copy, function)
        return inspect(copy)

    return change


def test_exports_are_not_unusual(exported):
    for version in (exported.first, exported.second, exported.directory):
        inspection = inspect(version)
        assert inspection.unusual == []
    assert inspection.directory == exported.second
    assert inspection.operations["FastWordpieceTokenizeWithOffsets"] > 0
    assert "WriteFile" not in inspection.operations
    size = (exported.second / "saved_model.pb").stat().st_size
    assert inspection.files["saved_model.pb"] == size
    assert inspection.num_bytes > size
    assert inspection.description["tasks"].keys() == {
        *("sst2", "mnli", "stsb", "squad_v2"),
    }


def test_exports_of_the_encoders_own_heads_are_not_unusual(encoder, tmp_path):
    features, labels = encoder.hidden_dim, ("a", "b", "c")
    dense = [np.ones((features, 3), np.float32), np.ones(3, np.float32)]
    pooler = [np.eye(features, dtype=np.float32), np.ones(features, np.float32)]
    config = {"type": "EncoderHead", "last_layer": 2, "frozen_parameters": 5}
    heads = {
        name: ServedHead(
            {
                **config,
                "per_token": name == "span",
                "sentence_pooling": None if name == "span" else name,
            },
            weights,
        )
        for name, weights in (
            ("cls", [*pooler, *dense]),
            ("first", dense),
            ("mean", dense),
            ("span", [dense[0][:, :2], dense[1][:2]]),
        )
    }
    tasks = [
        ServedTask(
            *(name, head, (2,), 32, 1 + head.per_token),
            label_names=None if head.per_token else labels,
            windows=WindowPlan(8, 10) if head.per_token else None,
            kind=Kind.SPAN if head.per_token else Kind.CLASSES,
        )
        for name, head in heads.items()
    ]
    assert inspect(export(encoder, tasks, tmp_path / "own")).unusual == []


def test_signatures_are_listed(exported):
    signatures = inspect(exported.second).signatures
    assert signatures.keys() == {
        *("all", "hidden_states", "mnli", "serving_default", "squad_v2"),
        *("sst2", "stsb", "tokens"),
    }
    assert signatures["squad_v2"] == {
        "inputs": {"context": "string (?)", "question": "string (?)"},
        "outputs": {
            "answer": "string (?)",
            "end": "int32 (?)",
            "no_answer_probability": "float32 (?)",
            "score": "float32 (?)",
            "start": "int32 (?)",
        },
    }
    outputs = signatures["mnli"]["outputs"]
    assert outputs["probabilities"] == "float32 (?, 3)"
    assert signatures["tokens"]["inputs"]["token_ids"] == "int32 (?, ?)"


def test_operation_that_is_not_allowed_is_found_in_a_function(edit):
    def plant(meta_graph):
        function = meta_graph.graph_def.library.function[3]
        function.node_def.add(name="evil", op="WriteFile")

    unusual = edit(plant).unusual
    assert unusual == ["operation WriteFile, 1 times: no export has it"]


def test_operation_that_is_not_allowed_is_found_in_the_graph(edit):
    def plant(meta_graph):
        meta_graph.graph_def.node.add(name="evil", op="PyFunc")

    assert any("PyFunc" in line for line in edit(plant).unusual)


def test_signature_that_reads_files_is_found(edit):
    def plant(meta_graph):
        library = meta_graph.graph_def.library
        [encode] = [
            f
            for f in library.function
            if any(
                n.op == "FastWordpieceTokenizeWithOffsets" for n in f.node_def
            )
        ][:1]
        encode.node_def.add(name="evil", op="RestoreV2")

    unusual = edit(plant).unusual
    assert any("has RestoreV2, which belongs" in line for line in unusual)


def test_function_under_an_operations_name_is_found(edit):
    def plant(meta_graph):
        function = meta_graph.graph_def.library.function.add()
        function.signature.name = "MatMul"
        function.node_def.add(name="evil", op="ReadFile")

    unusual = edit(plant).unusual
    assert any("ReadFile" in line for line in unusual)
    assert any("MatMul is named as" in line for line in unusual)


def test_assets_and_objects_are_found(edit):
    def plant(meta_graph):
        meta_graph.asset_file_def.add(filename="../../etc/passwd")
        node = meta_graph.object_graph_def.nodes[0]
        node.user_object.identifier = "_tf_keras_model"
        del meta_graph.signature_def["serving_default"]

    unusual = "\n".join(edit(plant).unusual)
    assert "../../etc/passwd" in unusual
    assert "_tf_keras_model" in unusual
    assert "no signature serving_default" in unusual


def test_node_that_is_missing_is_named(edit):
    def plant(meta_graph):
        outputs = meta_graph.signature_def["sst2"].outputs
        outputs["score"].name = "elsewhere:0"

    assert any("elsewhere" in line for line in edit(plant).unusual)


def test_files_and_links_are_found(copy, tmp_path):
    (copy / "assets.extra" / "more.pkl").write_bytes(b"x")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("s")
    (copy / "variables" / "outside").symlink_to(secret)
    inspection = inspect(copy)
    unusual = sorted(inspection.unusual)
    assert len(unusual) == 2
    assert unusual[0].startswith("assets.extra/more.pkl is no file")
    assert unusual[1].startswith("variables/outside is a link to")
    assert not any(path.endswith("/file") for path in inspection.files)


def test_linked_graph_is_refused(copy, tmp_path):
    (copy / "saved_model.pb").rename(tmp_path / "graph")
    (copy / "saved_model.pb").symlink_to(tmp_path / "graph")
    with pytest.raises(DataError, match="is no file"):
        inspect(copy)


def test_without_description_is_unusual(copy):
    path = copy / "assets.extra" / "bvkeras.json"
    path.write_text("{", encoding="utf-8")
    assert "cannot be read" in inspect(copy).unusual[0]
    path.unlink()
    inspection = inspect(copy)
    assert inspection.description is None
    assert "is missing" in inspection.unusual[0]


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff", b"text"])
def test_broken_graph_is_named(copy, content):
    (copy / "saved_model.pb").write_bytes(content)
    with pytest.raises(DataError, match=r"saved_model\.pb"):
        inspect(copy)


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Where an attack writes to; and nothing may be loaded."""
    prefix = tmp_path / "canary"
    files = [
        tmp_path / f"canary{suffix}"
        for suffix in (".index", ".data-00000-of-00001")
    ]
    for file in files:
        file.write_bytes(b"precious")
    loaded = []
    monkeypatch.setattr(tf.saved_model, "load", loaded.append)
    yield prefix
    assert not loaded
    for file in files:
        assert file.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resource", "2 objects have no place in an export"),
        ("saveable", "has functions to restore it"),
        ("initial_operation", "loading runs evil_init"),
        ("signature_function", "has SaveV2, which belongs elsewhere"),
        ("second_saver", "called 2 times"),
        ("registered_class", "registered class 'Custom.Evil'"),
        ("registered_saver", "registered class 'Custom.Evil'"),
        ("gradient", "has a function's gradient"),
        ("hidden_twin", "is there twice"),
        ("other_file_name", "the saver has a file name of its own"),
        ("other_table", "is none of the tokenizer's tables"),
        ("table_in_a_function", "makes a tensor of type uint8"),
    ],
)
def test_what_would_run_is_refused(name, message, first, canary):
    rewrite(first, lambda graph: ATTACKS[name](graph, str(canary)))
    unusual = inspect(first).unusual
    assert any(message in line for line in unusual), unusual
    assert not any("\n" in line for line in unusual)
    with pytest.raises(DataError, match="unusual parts"):
        LoadedVersion(first)


def test_every_attack_is_tried():
    [marks] = test_what_would_run_is_refused.pytestmark
    assert {name for name, _ in marks.args[1]} == ATTACKS.keys()


def test_object_graph_is_required(edit):
    unusual = edit(lambda graph: graph.ClearField("object_graph_def")).unusual
    assert any("object graph is missing" in line for line in unusual)


def test_functions_that_come_to_too_much_are_refused(edit):
    """Thirty functions, each of which calls the next twice."""

    def plant(meta_graph):
        library = meta_graph.graph_def.library
        call = next(
            node
            for function in library.function
            for node in function.node_def
            if node.op == "StatefulPartitionedCall"
        )
        for place in range(30):
            function = library.function.add()
            function.signature.name = f"__inference_f_{place}"
            for name in "ab"[: 2 * (place < 29)]:
                node = function.node_def.add()
                node.CopyFrom(call)
                node.name = name
                node.attr["f"].func.name = f"__inference_f_{place + 1}"

    assert any(
        "nodes with what it calls" in line for line in edit(plant).unusual
    )


def test_functions_that_call_themselves_are_refused(edit):
    def plant(meta_graph):
        for function in meta_graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "StatefulPartitionedCall":
                    node.attr["f"].func.name = function.signature.name

    assert any("round a circle" in line for line in edit(plant).unusual)


def test_settings_of_a_call_are_refused(edit):
    def plant(meta_graph):
        for node in meta_graph.graph_def.node:
            if node.op == "StatefulPartitionedCall":
                config = tf.compat.v1.ConfigProto()
                config.experimental.executor_type = "OTHER"
                node.attr["config_proto"].s = config.SerializeToString()
                node.attr["_gradient_op_type"].s = b"CustomGradient"
                node.device = "/job:other"

    text = "\n".join(edit(plant).unusual)
    assert "has settings of its own" in text
    assert "'_gradient_op_type'" in text
    assert "is for the device '/job:other'" in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fingerprint.pb", b"", "another checkpoint_hash"),
        ("fingerprint.pb", b"\xff", "cannot be read"),
        ("variables/variables.index", b"", "shorter than a footer"),
        ("variables/variables.index", b"x" * 100, "does not end as a table"),
        ("variables/variables.data-00000-of-00001", b"", "has 0 bytes"),
        ("assets.extra/vocabulary.json", b"[]", "special token"),
        ("assets.extra/vocabulary.json", b"[1]", "no list of word pieces"),
        ("assets.extra/vocabulary.json", b'"ab"', "no list of word pieces"),
        ("assets.extra/vocabulary.json", rb'["\ud800"]', "no list of word"),
        ("assets.extra/vocabulary.json", b"[" * 9**5, "nested too deeply"),
        ("assets.extra/tf_serving_warmup_requests", b"", "other requests"),
    ],
)
def test_other_content_is_found(name, content, message, first):
    (first / name).write_bytes(content)
    unusual = inspect(first).unusual
    assert any(message in line for line in unusual), unusual
    with pytest.raises(DataError, match="unusual parts"):
        LoadedVersion(first)


def test_wrong_fingerprint_is_found(exported, copy):
    shutil.copy(exported.first / "fingerprint.pb", copy)
    [line] = inspect(copy).unusual
    assert "has another saved_model_checksum than the export" in line
    seal(copy)
    assert inspect(copy).unusual == []


def test_other_vocabulary_is_found(first):
    path = first / "assets.extra" / "vocabulary.json"
    vocabulary = json.loads(path.read_text("utf-8"))
    vocabulary[-1] += "x"
    path.write_text(json.dumps(vocabulary), "utf-8")
    [line] = inspect(first).unusual
    assert "is not the one of bvkeras.json" in line


def test_missing_and_lengthened_data_is_found(first):
    path = first / "variables" / "variables.data-00000-of-00001"
    size = path.stat().st_size
    # As a file with a hole in it: it takes no room.
    os.truncate(path, 1 << 38)
    [line] = inspect(first).unusual
    assert f"expected {size:,}" in line
    path.unlink()
    [line] = inspect(first).unusual
    assert "is missing" in line


def test_pipes_are_not_waited_for(first):
    for name in ("assets.extra/bvkeras.json", "assets.extra/vocabulary.json"):
        (first / name).unlink()
        os.mkfifo(first / name)
    text = "\n".join(inspect(first).unusual)
    assert "bvkeras.json is no file" in text
    (first / "saved_model.pb").unlink()
    os.mkfifo(first / "saved_model.pb")
    with pytest.raises(DataError, match="is no file"):
        layout.read_file(first, layout.GRAPH)


def changed(path, keys, value):
    """A JSON file with another value in one place."""
    record = json.loads(path.read_text("utf-8"))
    *parents, last = keys
    parent = record
    for key in parents:
        parent = parent[key]
    parent[last] = value
    path.write_text(json.dumps(record), "utf-8")


_CONFIG = ("encoder", "config")
_TASK = ("tasks", "sst2")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("format",), [1]),
        (("versions",), []),
        (("encoder",), None),
        (("encoder", "digest"), "x"),
        (("encoder", "dtype"), "float64"),
        (("encoder", "parameters"), 1),
        ((*_CONFIG, "num_layers"), 10**6),
        ((*_CONFIG, "num_layers"), True),
        ((*_CONFIG, "num_layers"), 2.0),
        ((*_CONFIG, "num_heads"), 3),
        ((*_CONFIG, "vocabulary_size"), 10**12),
        ((*_CONFIG, "vocabulary_size"), 10**6),
        ((*_CONFIG, "intermediate_dim"), 64),
        ((*_CONFIG, "hidden_act"), "evil"),
        (("tokenizer", "settings"), {}),
        (("tokenizer", "settings", "lowercase"), 1),
        (("tasks",), {}),
        (("tasks",), []),
        (("tasks", "other"), {}),
        (_TASK, []),
        ((*_TASK, "kind"), "span"),
        ((*_TASK, "inputs"), ["text", "text"]),
        ((*_TASK, "label_names"), "ab"),
        ((*_TASK, "label_names"), [1, 2]),
        ((*_TASK, "max_tokens"), 10**9),
        ((*_TASK, "layers"), [0, 1, 99]),
        ((*_TASK, "layers"), [[]]),
        ((*_TASK, "windows"), {"stride": 0, "question_tokens": 1}),
        ((*_TASK, "total_parameters"), 10),
        ((*_TASK, "head"), {}),
        ((*_TASK, "head", "type"), "os.system"),
        ((*_TASK, "head", "units"), 10**9),
        ((*_TASK, "head", "units"), {}),
        ((*_TASK, "head", "num_classes"), 10**9),
        ((*_TASK, "head", "sequence_length"), 10**9),
        ((*_TASK, "head", "num_layers"), 10**6),
    ],
)
def test_description_of_another_shape_is_one_line(keys, value, first):
    changed(first / "assets.extra" / "bvkeras.json", keys, value)
    unusual = inspect(first).unusual
    assert unusual
    assert not any("\n" in line for line in unusual)


@pytest.mark.parametrize(
    "content", [b"[" * 10**6, b"{" + b'"a":{' * 10**5, b"9" * 10**5, b"NaN"]
)
def test_description_that_is_no_record_is_one_line(content, first):
    (first / "assets.extra" / "bvkeras.json").write_bytes(content)
    [line] = inspect(first).unusual
    assert "bvkeras.json" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "name",
    [
        *("saved_model.pb", "variables/variables.index"),
        "variables/variables.data-00000-of-00001",
    ],
)
def test_what_cannot_be_loaded_is_one_line(name, first):
    """Whatever TensorFlow raises; as --allow-unusual may meet it."""
    with open(first / name, "rb+") as file:
        file.truncate(100)
    with pytest.raises(DataError, match="cannot be loaded: ") as caught:
        loading.load(first)
    assert isinstance(caught.value, BvkerasError)
    assert "\n" not in str(caught.value)


def test_nothing_is_loaded(exported, monkeypatch):
    for owner, name in (
        (tf.saved_model, "load"),
        (tf, "import_graph_def"),
        (tf.train, "load_checkpoint"),
    ):
        monkeypatch.setattr(owner, name, None)
    assert inspect(exported.second).unusual == []


def test_names_are_harmless_in_a_terminal(edit):
    def plant(meta_graph):
        meta_graph.graph_def.node.add(name="x", op="\x1b[2JE\nvil")

    inspection = edit(plant)
    assert all(line.isprintable() for line in inspection.unusual)
    text = format_inspection(inspection)
    assert "\x1b" not in text
    assert "E\\nvil" in text


def test_command_prints_and_fails_on_what_is_unusual(exported, copy, capsys):
    assert cli.main(["inspect", str(exported.directory)]) == 0
    output = capsys.readouterr().out
    assert "signature serving_default" in output
    assert "nothing unusual" in output
    (copy / "run.py").write_text("print()", encoding="utf-8")
    assert cli.main(["inspect", str(copy)]) == 1
    captured = capsys.readouterr()
    assert "run.py is no file of an export" in captured.out
    assert captured.err.count("\n") == 1


def test_folder_without_export_is_named(tmp_path, capsys):
    assert cli.main(["inspect", str(tmp_path)]) == 1
    assert "is no export" in capsys.readouterr().err
