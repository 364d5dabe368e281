"""What a look at an export finds, and that it only looks."""

import shutil

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bvkeras.cli import main as cli
from bvkeras.errors import DataError
from bvkeras.serving import inspect
from bvkeras.serving.inspection import format_inspection


@pytest.fixture
def copy(exported, tmp_path):
    return shutil.copytree(exported.second, tmp_path / "export" / "2")


@pytest.fixture
def edit(copy):
    """Changes the graph on disk."""
    path = copy / "saved_model.pb"

    def change(function):
        saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        function(saved_model.meta_graphs[0])
        path.write_bytes(saved_model.SerializeToString())
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
    assert any("reaches RestoreV2" in line for line in unusual)


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
        node = meta_graph.object_graph_def.nodes.add()
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
        meta_graph.graph_def.node.add(name="x", op="\x1b[2JEvil")

    text = format_inspection(edit(plant))
    assert "\x1b" not in text
    assert "Evil" in text


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
