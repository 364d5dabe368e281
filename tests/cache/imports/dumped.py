"""Hidden states of a cache as other programs would have written them."""

import json

import ml_dtypes
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from safetensors.numpy import save_file

# What a row of a table may hold its hidden states in.
_LIST = pa.list_(pa.list_(pa.list_(pa.float32())))
_RAW = {"bfloat16": ml_dtypes.bfloat16}


def states_of(cache):
    """The hidden states of each example, as float32."""
    return [
        record["hidden_states"]
        for record in cache.records().as_numpy_iterator()
    ]


def padded(states, width):
    """One array `(examples, width, layers, features)`, NaN in padding."""
    array = np.full((len(states), width, *states[0].shape[1:]), np.nan, "f4")
    for row, example in zip(array, states, strict=True):
        row[: len(example)] = example
    return array


def dump(kind, states, folder, dtype="float32"):
    """Writes hidden states; gives what `open_states` needs to read them."""
    lengths = np.array([len(example) for example in states])
    width = 16
    states = [example.astype(_RAW.get(dtype, dtype)) for example in states]
    folder.mkdir()
    return _DUMPS[kind](folder, states, lengths, width)


def _npy(folder, states, lengths, width):
    np.save(folder / "states.npy", padded(states, width))
    np.save(folder / "lengths.npy", lengths)
    return {
        "source": folder / "states.npy",
        "lengths": folder / "lengths.npy",
    }


def _npz_mask(folder, states, lengths, width):
    mask = np.arange(width) < lengths[:, None]
    np.savez_compressed(
        folder / "states.npz",
        hidden_states=padded(states, width),
        attention_mask=mask.astype(np.int64),
    )
    return {"source": folder / "states.npz"}


def _npz_ragged(folder, states, lengths, width):
    np.savez(
        folder / "states.npz",
        hidden_states=np.concatenate(states),
        offsets=np.cumsum([0, *lengths]),
    )
    return {"source": folder / "states.npz"}


def _a_tensor_a_layer(folder, states, lengths, width):
    array = padded(states, width).astype(states[0].dtype)
    layers = {
        # So that sorting by letters would be wrong.
        f"model.layers.{8 + i}.output": np.ascontiguousarray(array[:, :, i])
        for i in range(array.shape[2])
    }
    save_file({**layers, "lengths": lengths}, folder / "states.safetensors")
    return {"source": folder / "states.safetensors"}


def _ragged_layers(folder, states, lengths, width):
    every = np.concatenate(states)
    layers = {
        f"h{i}.x": np.ascontiguousarray(every[:, i])
        for i in range(every.shape[1])
    }
    other = {"norm.weight": np.ones(3, np.float32), "n": lengths}
    save_file({**layers, **other}, folder / "states.safetensors")
    return {
        "source": folder / "states.safetensors",
        "states": "h{layer}.x",
        "lengths": "n",
    }


def _vllm(folder, states, lengths, width):
    """A file for each request, as vLLM's connector writes them."""
    for row, example in enumerate(states):
        save_file(
            {
                "hidden_states": np.ascontiguousarray(example),
                "token_ids": np.arange(len(example)),
            },
            folder / f"{row}-9f3a.safetensors",
        )
    return {"source": folder}


def _several_npz(folder, states, lengths, width):
    half = len(states) // 2
    for number, part in enumerate((states[:half], states[half:])):
        np.savez(
            folder / f"part-{number}.npz",
            hidden_states=np.concatenate(part),
            lengths=[len(example) for example in part],
        )
    return {"source": [folder / "part-0.npz", folder / "part-1.npz"]}


def _parquet(folder, states, lengths, width):
    table = pa.table(
        {"hidden_states": pa.array([x.tolist() for x in states], _LIST)}
    )
    pa.parquet.write_table(table, folder / "t.parquet", row_group_size=7)
    return {"source": folder / "t.parquet"}


def _columns_of_fixed_size(folder, states, lengths, width):
    array = np.nan_to_num(padded(states, width))
    kind = pa.list_(pa.list_(pa.float32(), array.shape[3]), width)
    columns = {
        f"layer_{i}": pa.array(array[:, :, i].tolist(), kind)
        for i in range(array.shape[2])
    }
    table = pa.table({**columns, "length": lengths})
    pa.parquet.write_table(table, folder / "t.parquet")
    return {"source": folder / "t.parquet"}


def _saved_dataset(folder, states, lengths, width):
    """Two Arrow streams and what `datasets` says of them."""
    table = pa.table(
        {"hidden_states": pa.array([x.tolist() for x in states], _LIST)}
    )
    names = [f"data-0000{i}-of-00002.arrow" for i in range(2)]
    for name, part in zip(
        names, (table.slice(0, 10), table.slice(10)), strict=True
    ):
        with pa.ipc.new_stream(str(folder / name), table.schema) as stream:
            stream.write_table(part, max_chunksize=4)
    state = {"_data_files": [{"filename": name} for name in names]}
    (folder / "state.json").write_text(json.dumps(state))
    return {"source": folder}


_DUMPS = {
    "npy": _npy,
    "npz with a mask": _npz_mask,
    "npz with offsets": _npz_ragged,
    "safetensors, a tensor a layer": _a_tensor_a_layer,
    "safetensors, ragged layers": _ragged_layers,
    "a file for each request": _vllm,
    "several npz": _several_npz,
    "parquet": _parquet,
    "parquet, a column a layer": _columns_of_fixed_size,
    "datasets": _saved_dataset,
}
KINDS = tuple(_DUMPS)
