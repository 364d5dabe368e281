"""What cannot be imported is one line that names file, row or tensor."""

import json
import pathlib
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from safetensors.numpy import save_file

from bvkeras.cache.imports.importer import import_cache
from bvkeras.cache.imports.label_rows import (
    label_numbers,
    label_rows,
    learn_task,
    read_label_table,
)
from bvkeras.cache.imports.opening import open_states
from bvkeras.errors import ArgumentError, BvkerasError, DataError, RunError
from tests.tiny_runs import CLASSES, LABELS, SCORES

_ONES = np.ones((4, 6, 3, 5), np.float32)
_NESTED = pa.list_(pa.list_(pa.list_(pa.float32())))


def refused(message, source, **options):
    with pytest.raises(BvkerasError, match=message) as raised:
        open_states(source, **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"lengths": [1, 2, 3]}, {}, "there are 3 lengths for 4 examples"),
        ({"lengths": [1, 7, 3, 2]}, {}, "row 1: its length is 7, expected 1"),
        ({"lengths": [1, 0, 3, 2]}, {}, "row 1: its length is 0"),
        ({"lengths": [1.0] * 4}, {}, "type float64, expected whole numbers"),
        ({"attention_mask": [[1, 0, 1, 0, 0, 0]] * 4}, {}, "row 0: its mask"),
        ({"attention_mask": [[0] * 6] * 4}, {}, "row 0: its mask has no token"),
        ({"attention_mask": [[2] * 6] * 4}, {}, "values besides 0 and 1"),
        ({"attention_mask": [[1] * 5] * 4}, {}, r"the mask has shape \(4, 5\)"),
        ({"offsets": [0, 4]}, {}, r"starts \(offsets\) are there, and the"),
        (
            {"lengths": [1] * 4, "attention_mask": [[1] * 6] * 4},
            {},
            "lengths and mask are there, expected one",
        ),
        ({}, {"lengths": "n"}, "has no 'n', it has hidden_states"),
        ({}, {"states": "h"}, "has no 'h', it has hidden_states"),
        (
            {},
            {"states": "h{layer}"},
            "floating-point tensor like 'h{layer}'",
        ),
        ({"hidden_states": _ONES[0, 0]}, {}, r"has shape \(3, 5\), expected"),
        ({"hidden_states": _ONES[:0]}, {}, "expected no side of 0"),
        (
            {"hidden_states": _ONES.astype(int)},
            {},
            "is of type int64, expected",
        ),
        (
            {"hidden_states": _ONES[0], "lengths": [3, 2]},
            {},
            "lengths are 5 tokens together, the hidden states have 6",
        ),
        (
            {"hidden_states": _ONES[0], "offsets": [0, 5]},
            {},
            r"starts go from \[0\] to \[5\], expected from 0 .* 6",
        ),
        (
            {"hidden_states": _ONES[0], "offsets": [0, 5, 3, 6]},
            {},
            "row 1: its length is -2",
        ),
        (
            {"hidden_states": _ONES[0], "mask": [[1]]},
            {},
            "a mask is there, and the hidden states are not padded",
        ),
    ],
)
def test_arrays(arrays, options, message):
    refused(message, {"hidden_states": _ONES, **arrays}, **options)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.1", "b.2"), "cannot tell which tensors are hidden states"),
        (("a1.b1", "a2.b2"), "cannot tell which tensors are hidden states"),
        (("a1", "a01"), "cannot tell|two tensors are of one layer"),
    ],
)
def test_names_that_say_nothing(names, message):
    refused(message, {name: _ONES[:, :, 0] for name in names})


def test_unequal_layers(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"l0": _ONES[:, :, 0], "l1": _ONES[:, :, 0, :4].copy()}, path)
    message = r"x\.safetensors: l1 has shape \(4, 6, 4\), and l0 \(4, 6, 5\)"
    refused(message, path)
    for number, features in enumerate((5, 4)):
        states = np.ones((2, 3, features), np.float32)
        save_file({"hidden_states": states}, tmp_path / f"{number}.safetensors")
    message = r"1\.safetensors: its features are 4, in .*0\.safetensors 5"
    refused(message, [tmp_path / f"{i}.safetensors" for i in range(2)])


def _object_array(path):
    np.save(path, np.array([{}], object), allow_pickle=True)


def _objects_in_npz(path):
    np.savez(path, hidden_states=_ONES, lengths=np.array([{}] * 4, object))


def _bfloat16(path):
    np.save(path, np.zeros((2, 2, 2), "V2"))


def _fortran(path):
    np.savez(path, hidden_states=np.asfortranarray(_ONES))


def _short_member(path):
    with (
        zipfile.ZipFile(path, "w") as file,
        file.open("hidden_states.npy", "w") as stream,
    ):
        np.lib.format.write_array_header_1_0(
            stream,
            {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 2, 3)},
        )


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.pt", b"\x80\x04N.", "may be a pickle, .* is never opened"),
        ("pytorch_model.bin", b"\x80\x04N.", "may be a pickle"),
        ("x.npy", b"\x80\x04N.", r"cannot be read as a \.npy file"),
        ("x.npy", b"", r"cannot be read as a \.npy file"),
        ("x.npy", _object_array, r"cannot be read as a \.npy file"),
        ("x.npy", _bfloat16, "is of type void16, expected one of float16"),
        ("x.npz", b"PK", r"cannot be read as a \.npz file"),
        ("x.npz", _objects_in_npz, "lengths holds Python objects, which can"),
        (
            "x.npz",
            _short_member,
            "has 128 bytes, its header says",
        ),
        ("x.safetensors", b"\xff" * 20, "cannot be read as safetensors"),
        ("x.parquet", b"PAR1", "cannot be read as a Parquet or Arrow file"),
        ("x.arrow", b"ARROW1\0\0", "cannot be read as a Parquet or Arrow"),
        ("x.csv", b"a,b\n", "is no file of hidden states, expected one of"),
    ],
)
def test_files(name, write, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(write) if isinstance(write, bytes) else write(path)
    refused(rf"{name}: {message}|{message}", path)
    if path.suffix in (".pt", ".bin"):
        refused("may be a pickle", tmp_path)


def test_fortran_order_of_npz_is_named(tmp_path):
    _fortran(tmp_path / "x.npz")
    source = open_states(tmp_path / "x.npz")
    with pytest.raises(DataError, match="hidden_states is in Fortran's order"):
        next(source.read())


def test_places(tmp_path):
    refused("there is no such file or folder", tmp_path / "nothing")
    refused("has no file of hidden states", tmp_path)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "dev"]}')
    refused("has several splits, expected .* one: train, dev", tmp_path)
    (tmp_path / "dataset_dict.json").unlink()
    state = {"_data_files": [{"filename": "../secret.arrow"}]}
    (tmp_path / "state.json").write_text(json.dumps(state))
    refused(r"names 'secret\.arrow', which is not there", tmp_path)
    np.save(tmp_path / "a.npy", _ONES)
    np.savez(tmp_path / "b.npz", hidden_states=_ONES)
    both = [tmp_path / "a.npy", tmp_path / "b.npz"]
    refused(r"are files of \.npy, \.npz, expected one kind", both)
    both = [tmp_path / "a.npy"] * 2
    refused("lengths: expected a name in each of 2 files", both, lengths=[1])


def table(rows, kind=_NESTED, **columns):
    return pa.table({"hidden_states": pa.array(rows, kind), **columns})


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (
            table([[[[1.0, 2.0]]], [[[1.0]]]]),
            {},
            "row 1: has 1 layers of 1 features, the first row 1 of 2",
        ),
        (
            table([[[[1.0], [2.0]], [[3.0]]]]),
            {},
            r"row 0: has lists of \[1, 2\] items, expected as many in each",
        ),
        (table([[[[1.0]]], None]), {}, "row 1: has an empty cell"),
        (table([[[[1.0]]], []]), {}, "row 1: has an empty list"),
        (table([[[[None]]]]), {}, "row 0: has an empty cell"),
        (
            table([["a"]], pa.list_(pa.string())),
            {},
            "hidden_states is of type string, expected one of float16",
        ),
        (
            table([[[1.0]]], pa.list_(pa.list_(pa.float32()))),
            {},
            "expected lists of tokens of lists of layers of lists of features",
        ),
        (table([[[[1.0]]]], length=[2]), {}, "row 0: length is 2, expected 1"),
        (
            table([[[[1.0]], [[1.0]]]], attention_mask=[[0, 1]]),
            {},
            "row 0: its mask has a token after padding",
        ),
        (table([[[[1.0]]]]), {"lengths": "n"}, "has no column 'n', it has"),
        (table([[[[1.0]]]]), {"starts": "n"}, "starts: expected the name of a"),
        (table([]), {}, "has no rows"),
    ],
)
def test_tables(made, options, message, tmp_path):
    pa.parquet.write_table(made, tmp_path / "t.parquet")
    refused(message, tmp_path / "t.parquet", **options)


def import_ones(tmp_path, task=CLASSES, **options):
    options = {"encoder": "e", "labels": [0, 1, 0, 1], **options}
    return import_cache(_ONES, task, tmp_path / "cache", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": " "}, "encoder: expected a name, got ' '"),
        ({"encoder": "a\nb"}, "encoder: expected a name, got"),
        ({"dtype": "int4"}, "dtype: expected one of float32, float16"),
        ({"layer_names": ["a"]}, "layer_names: expected 3 different ones"),
        ({"layer_names": ["a", "b", "a"]}, "layer_names: expected 3 different"),
        ({"max_tokens": 0}, "max_tokens: expected at least 1, got 0"),
        ({"labels": [0, 1]}, "of 4 examples, and there are 2 labels"),
        ({"labels": None}, "labels: none lie beside the hidden states"),
        ({"labels": [0, 1, 2, 1]}, "row 2: label is 2, expected 0 to 1"),
        (
            {"labels": ["positive", "x"] * 2},
            "row 1: label is 'x', expected",
        ),
        ({"labels": np.ones((4, 2))}, "row 0: label is a tuple, expected"),
        ({"labels": np.zeros((4, 2, 2))}, r"labels have shape \(4, 2, 2\)"),
        ({"labels": np.array([{}] * 4)}, "type object, expected"),
        ({"ids": ["a", "b"]}, "of 4 examples, and there are 2 ids"),
        ({"ids": [*"abca"]}, "4 examples have 3 different ids"),
        ({"texts": [["a"]]}, "of 4 examples, and there are 1 texts"),
        ({"task": "squad_v2"}, "labels: squad_v2 has labels of tokens"),
        (
            {"task": SCORES, "labels": [9.0] * 4},
            "a number from 0 to 5",
        ),
        (
            {"task": SCORES, "labels": [*"abcd"]},
            "row 0: label is 'a', expected",
        ),
        (
            {"task": LABELS, "labels": np.full((4, 2), 1)},
            r"row 0: has 2 labels, expected 3 \(long, seven, never\)",
        ),
        (
            {"task": LABELS, "labels": np.full((4, 3), 2)},
            "row 0: long is 2, expected 0 or 1",
        ),
    ],
)
def test_imports(options, message, tmp_path):
    with pytest.raises(BvkerasError, match=message) as raised:
        import_ones(tmp_path, **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([0, 1, 0], {"name": "sst2"}, "name: 'sst2' is a task of bvkeras"),
        ([0, 1, 0], {"name": "a b"}, "name: got 'a b', expected letters"),
        (
            [0, 1, 0],
            {"kind": "span"},
            "kind: got 'span', expected one of",
        ),
        ([1, 1, 1], {}, "label is '1' in every row, expected two classes"),
        (np.eye(2), {}, "label_names: expected the names of 2 columns"),
        (
            [0.5, 1.0],
            {"label_names": ["a"]},
            "label_names: expected none with scores",
        ),
    ],
)
def test_tasks(labels, options, message):
    with pytest.raises(BvkerasError, match=message):
        learn_task(
            label_rows(np.array(labels), "x"), **{"name": "mine", **options}
        )


def test_names_that_are_numbers_are_names():
    """Numbers are classes by their order only where no name is a number."""
    spec = learn_task(label_rows([3, 1, 2, 1, 3, 2], "x"), "stars")
    rows = label_rows([1, 2], "x")
    assert label_numbers(spec, rows).tolist() == [0, 1]
    with pytest.raises(DataError, match="row 0: label is '0', expected one of"):
        label_numbers(spec, label_rows([0], "x"))


def test_table_of_labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,label\nb,1\na,0\nd,1\nc,0\n")
    rows = read_label_table(path, ["label"], id_column="id")
    source = {"hidden_states": _ONES, "ids": np.array([*"abcd"])}
    cache = import_cache(
        source, CLASSES, tmp_path / "cache", encoder="e", labels=rows
    )
    assert cache.labels().tolist() == [0, 1, 0, 1]
    assert cache.index.ids == [b"a", b"b", b"c", b"d"]
    for text, message in (
        ("id,label\na,0\nb,1\nc,0\n", "row 3: its id 'd' is not in .*labels"),
        (
            "id,label\na,0\nb,1\nc,0\nd,1\ne,1\n",
            r"has no hidden states of 'e', which is in .*labels\.csv",
        ),
    ):
        path.write_text(text)
        rows = read_label_table(path, ["label"], id_column="id")
        with pytest.raises(DataError, match=message):
            import_cache(
                source, CLASSES, tmp_path / "new", encoder="e", labels=rows
            )
    path.write_text("id,label\na,0\nb,\nc,0\n")
    with pytest.raises(DataError, match=r"row 3: is one of 1 rows without a"):
        read_label_table(path, ["label"])


def test_example_that_no_record_can_hold(tmp_path):
    wide = np.broadcast_to(np.float32(0), (1, 1 << 20, 3, 1024))
    with pytest.raises(ArgumentError, match="max_tokens: arrays: row 0 has"):
        import_cache(wide, CLASSES, tmp_path / "cache", encoder="e", labels=[0])
    assert not pathlib.Path(tmp_path / "cache").exists()


def test_a_folder_another_process_has_just_begun_stays(tmp_path, monkeypatch):
    """It was not there when the import looked, and is when it is locked."""
    directory = tmp_path / "cache"

    def taken(path):
        path.mkdir()
        (path / "theirs").touch()
        raise RunError(f"{path} is in use")

    monkeypatch.setattr("bvkeras.fileio.directory_lock", taken)
    with pytest.raises(RunError, match="is in use"):
        import_cache(
            {"hidden_states": _ONES, "lengths": [6] * 4},
            CLASSES,
            directory,
            encoder="e",
            labels=[0, 1, 0, 1],
        )
    assert (directory / "theirs").exists()
