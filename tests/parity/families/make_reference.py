"""Writes what `transformers` computes, for test_families_parity.py.

Needs torch, transformers and sentencepiece, which the tests do not:

    python make_reference.py

For every family of encoders it makes a tiny checkpoint of random weights, with
a tokenizer trained on the texts of tests/parity/make_reference.py. Beside this
script it writes

    checkpoints.tar.xz  the checkpoints, in Hugging Face layout; tokenizers also
                        in their older files, as FAMILY_files
    reference.npz       hidden states, float32, `(valid tokens, layers,
                        features)`, and the inputs they belong to
    reference.json      token ids and offsets of awkward texts, and of pairs

Last written with torch 2.14.1, transformers 5.24.0, tokenizers 0.23.3,
sentencepiece 0.2.3.
"""

import importlib.util
import io
import json
import lzma
import os
import pathlib
import shutil
import tarfile
import tempfile

import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers

HERE = pathlib.Path(__file__).parent
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    # So large that a wrong GELU or LayerNorm is seen.
    "initializer_range": 0.4,
}
NUM_LONG = 90
ROWS = [
    ("The ending is a mess, but I cried anyway.", None),
    ("Cheap.", None),
    ("How far is the Moon?", "About 384,400 km from Earth."),
    ("Nobody expected the café to survive winter.", "It did not."),
]
MAX_TOKENS = (5, 6, 7, 8, 9, 13, 16, 32)


def other_script():
    """The awkward texts of the script one folder up."""
    path = HERE.parent / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BERT = other_script()
CORPUS = [*BERT.TEXTS[3:], *(text for row in ROWS for text in row if text)]


def word_pieces(directory, lowercase):
    """vocab.txt, as trained by the tokenizers library."""
    tokenizer = tokenizers.BertWordPieceTokenizer(lowercase=lowercase)
    tokenizer.train_from_iterator(CORPUS, vocab_size=420, show_progress=False)
    tokenizer.save_model(str(directory))


def byte_pairs(directory):
    """vocab.json and merges.txt, with RoBERTa's special tokens."""
    tokenizer = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(
        CORPUS, vocab_size=380, special_tokens=special, show_progress=False
    )
    tokenizer.save_model(str(directory))


def sentence_pieces(path, **settings):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3),
        model_writer=model,
        vocab_size=400,
        hard_vocab_limit=False,
        character_coverage=0.98,
        minloglevel=2,
        **settings,
    )
    path.write_bytes(model.getvalue())


def xlm_pieces(directory):
    sentence_pieces(directory / "sentencepiece.bpe.model")


def albert_pieces(directory):
    sentence_pieces(
        directory / "spiece.model",
        pad_id=0,
        unk_id=1,
        bos_id=-1,
        eos_id=-1,
        pad_piece="<pad>",
        control_symbols=["[CLS]", "[SEP]"],
        user_defined_symbols=["[MASK]"],
    )


def deberta_pieces(directory):
    sentence_pieces(
        directory / "spm.model",
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="[PAD]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        unk_piece="[UNK]",
    )


FAMILIES = {
    "roberta": {
        "config": transformers.RobertaConfig,
        "model": transformers.RobertaForMaskedLM,
        "tokenizer": transformers.RobertaTokenizer,
        "pieces": byte_pairs,
        "arguments": {
            **SIZES,
            "max_position_embeddings": 130,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
        },
    },
    "xlm_roberta": {
        "config": transformers.XLMRobertaConfig,
        "model": transformers.XLMRobertaModel,
        "tokenizer": transformers.XLMRobertaTokenizer,
        "pieces": xlm_pieces,
        "arguments": {
            **SIZES,
            "max_position_embeddings": 130,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "hidden_act": "gelu_new",
        },
    },
    "distilbert": {
        "config": transformers.DistilBertConfig,
        "model": transformers.DistilBertForMaskedLM,
        "tokenizer": transformers.DistilBertTokenizer,
        "pieces": lambda directory: word_pieces(directory, False),
        "tokenizer_settings": {"do_lower_case": False},
        "arguments": {
            "dim": 16,
            "n_layers": 3,
            "n_heads": 2,
            "hidden_dim": 32,
            "initializer_range": 0.4,
            "max_position_embeddings": 128,
        },
    },
    "electra": {
        "config": transformers.ElectraConfig,
        "model": transformers.ElectraForPreTraining,
        "tokenizer": transformers.ElectraTokenizer,
        "pieces": lambda directory: word_pieces(directory, True),
        "arguments": {
            **SIZES,
            "embedding_size": 8,
            "max_position_embeddings": 128,
        },
    },
    "albert": {
        "config": transformers.AlbertConfig,
        "model": transformers.AlbertModel,
        "tokenizer": transformers.AlbertTokenizer,
        "pieces": albert_pieces,
        "arguments": {
            **SIZES,
            "embedding_size": 8,
            "max_position_embeddings": 128,
        },
    },
    # Two groups, which no published one has.
    "albert_groups": {
        "config": transformers.AlbertConfig,
        "model": transformers.AlbertForMaskedLM,
        "arguments": {
            **SIZES,
            "num_hidden_layers": 4,
            "num_hidden_groups": 2,
            "embedding_size": 8,
            "max_position_embeddings": 128,
        },
    },
    # The base size of ELECTRA has no projection.
    "electra_wide": {
        "config": transformers.ElectraConfig,
        "model": transformers.ElectraModel,
        "arguments": {
            **SIZES,
            "embedding_size": 16,
            "max_position_embeddings": 128,
        },
    },
    "deberta_v3": {
        "config": transformers.DebertaV2Config,
        "model": transformers.DebertaV2Model,
        "tokenizer": transformers.DebertaV2Tokenizer,
        "pieces": deberta_pieces,
        "arguments": {
            **SIZES,
            "max_position_embeddings": 128,
            "relative_attention": True,
            # Positions further away than 4 share a bucket.
            "position_buckets": 8,
            "max_relative_positions": -1,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "layer_norm_eps": 1e-7,
            "type_vocab_size": 0,
        },
    },
}


def make_tokenizer(family, directory):
    """Saves a tokenizer as transformers does, and its older files beside."""
    files = directory.with_name(f"{directory.name}_files")
    files.mkdir()
    family["pieces"](files)
    settings = family.get("tokenizer_settings", {})
    config = {"tokenizer_class": family["tokenizer"].__name__, **settings}
    path = files / "tokenizer_config.json"
    path.write_text(json.dumps(config) + "\n")
    tokenizer = family["tokenizer"].from_pretrained(files)
    tokenizer.save_pretrained(directory)
    return tokenizer


def make_model(family, directory, vocabulary_size):
    torch.manual_seed(7)
    config = family["config"](vocab_size=vocabulary_size, **family["arguments"])
    model = family["model"](config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # Biases begin as 0 and LayerNorms as 1: nothing would be seen.
            if name.endswith("bias"):
                weight.normal_(0, 0.3)
            elif "norm" in name.lower():
                weight.normal_(1, 0.3)
    model.save_pretrained(directory)
    return model.base_model.eval()


def hidden_states(model, rows, pad_id):
    num_tokens = max(len(row[0]) for row in rows)
    inputs = np.zeros((3, len(rows), num_tokens), dtype=np.int64)
    inputs[0] = pad_id
    for index, (ids, segments) in enumerate(rows):
        inputs[0, index, : len(ids)] = ids
        inputs[1, index, : len(ids)] = segments
        inputs[2, index, : len(ids)] = 1
    arguments = {
        "input_ids": torch.tensor(inputs[0]),
        "attention_mask": torch.tensor(inputs[2]),
    }
    if model.config.model_type in ("electra", "albert"):
        arguments["token_type_ids"] = torch.tensor(inputs[1])
    with torch.no_grad():
        outputs = model(**arguments, output_hidden_states=True)
    states = torch.stack(outputs.hidden_states, dim=2).numpy()
    return {
        "token_ids": inputs[0].astype(np.int32),
        "segment_ids": inputs[1].astype(np.int32),
        "padding_mask": inputs[2].astype(np.int32),
        "hidden_states": states[inputs[2] == 1],
    }


def rows_of(tokenizer):
    encoded = [tokenizer(a, b, return_token_type_ids=True) for a, b in ROWS]
    return [(row["input_ids"], row["token_type_ids"]) for row in encoded]


def long_rows(size):
    """Rows without a tokenizer, one of them long."""
    random = np.random.default_rng(0)
    return [
        (
            random.integers(5, size, length),
            [0] * (length // 2) + [1] * (length - length // 2),
        )
        for length in (NUM_LONG, 11, 1)
    ]


def texts(tokenizer):
    encoded = tokenizer(BERT.TEXTS, return_offsets_mapping=True)
    pairs = [
        {
            "text_a": a,
            "text_b": b,
            "max_tokens": max_tokens,
            # As a batch: given alone, an empty second text counts as none.
            "token_ids": tokenizer(
                [a], [b], truncation=True, max_length=max_tokens
            )["input_ids"][0],
        }
        for a, b in BERT.PAIRS
        for max_tokens in MAX_TOKENS
    ]
    return {
        "ids": encoded["input_ids"],
        "offsets": encoded["offset_mapping"],
        "pairs": pairs,
    }


def pack(folder, path):
    """A tar file that is the same whenever it is made."""

    def plain(member):
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mode = 0o644 if member.isfile() else 0o755
        return member

    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in sorted(os.listdir(folder)):
            archive.add(folder / name, name, filter=plain)
    path.write_bytes(
        lzma.compress(content.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    )


def main():
    arrays, reference = {}, {"texts": BERT.TEXTS, "families": {}}
    folder = pathlib.Path(tempfile.mkdtemp())
    for name, family in FAMILIES.items():
        directory = folder / name
        directory.mkdir()
        tokenizer = None
        vocabulary_size, pad_id = 64, 0
        if "tokenizer" in family:
            tokenizer = make_tokenizer(family, directory)
            vocabulary_size, pad_id = len(tokenizer), tokenizer.pad_token_id
            reference["families"][name] = texts(tokenizer)
        model = make_model(family, directory, vocabulary_size)
        batches = {"long": long_rows(vocabulary_size)}
        if tokenizer is not None:
            batches["texts"] = rows_of(tokenizer)
        for batch, rows in batches.items():
            for key, value in hidden_states(model, rows, pad_id).items():
                arrays[f"{name}_{batch}_{key}"] = value
    np.savez_compressed(HERE / "reference.npz", **arrays)
    pack(folder, HERE / "checkpoints.tar.xz")
    shutil.rmtree(folder)
    path = HERE / "reference.json"
    reference["rows"] = ROWS
    path.write_text(json.dumps(reference) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
