"""Do keras-hub's tokenizers give Hugging Face's ids in a TensorFlow graph?

The awkward texts of tests/parity, with the tiny tokenizers of
tests/parity/families, whose ids transformers computed. Prints how many texts
have other ids, and those texts. A family whose tokenizer differs is not
exported.

    PYTHONPATH=. python benchmarks/graph_tokenizers.py
"""

import json
import pathlib
import tarfile
import tempfile

import tensorflow as tf

from tests.families import FAMILIES, WORD_PIECES, keras_tokenizer

_FOLDER = pathlib.Path(__file__).parents[1] / "tests" / "parity" / "families"


def main() -> None:
    reference = json.loads((_FOLDER / "reference.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(_FOLDER / "checkpoints.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        for name in FAMILIES:
            if name in WORD_PIECES:
                # They have `bvkeras.serving.text_graph`, which is equal.
                continue
            tokenizer = keras_tokenizer(name, pathlib.Path(folder))
            graph = tf.function(tokenizer)
            ids = reference["families"][name]["ids"]
            others = [
                text
                for text, expected in zip(reference["texts"], ids, strict=True)
                if graph(tf.constant([text])).to_list()[0] != expected[1:-1]
            ]
            print(f"{name}: {len(others)} of {len(ids)} differ")
            for text in others:
                print(f"    {text!r}")


if __name__ == "__main__":
    main()
