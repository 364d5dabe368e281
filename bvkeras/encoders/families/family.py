"""What is true of a family of encoders: the contract, and BERT's layer."""

import abc
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from bvkeras.encoders.families.config_entries import ConfigEntries
from bvkeras.encoders.families.layer_names import LayerNames
from bvkeras.encoders.families.tensor_mapping import (
    TensorMapping,
    layer_tensors,
)

# A checkpoint with one layer used many times has no weights that would bound
# how many times.
_MOST_LAYERS = 512


class Family(abc.ABC):
    """How the encoders of a family are found in Keras, and read from files.

    The layer of most of them is BERT's, keras-hub's `TransformerEncoder`; what
    is said here is true of those, and a family with another one says what is
    different.

    Attributes:
        name: str. As people write it.
        model_type: str. What it is called in config.json, and in records of
            ours.
        backbone_class: type. keras-hub's.
        has_segments: bool. Whether the encoder is told which of two texts a
            token is of.
        has_trained_pooler: bool. Whether a dense layer on the first token was
            trained with the encoder. Without one the first token's last hidden
            state stands for a text.
        has_bert_layer: bool. Whether `FastEncoder` can compute it.
        shares_layers: bool. Whether a layer is used more than once.
        layer_norm_epsilon: float. What keras-hub computes LayerNorm with.
        default_hidden_act: str. "erf" or "tanh", what keras-hub computes.
        multiples: sequence of pairs of str. Sizes, as keras-hub calls them,
            that are multiples of others.
        entries: ConfigEntries. What config.json says.
        tensor_prefix: str. What names of tensors may begin with.
        layer_names: LayerNames. In Hugging Face's files.
        idle_tensors: sequence of str. Tensors of the encoder in those files
            that no hidden state depends on.
        tokenizer_classes: tuple of str. What tokenizer_config.json may call
            the tokenizer, besides the names of any.
        tokenizer_files: tuple of str. The files of a tokenizer that has no
            tokenizer.json.
        keras_tokenizer_class: type. keras-hub's.
        keras_files: tuple of str. What keras-hub calls `tokenizer_files`;
            empty of word pieces.
        more_keras_sizes: tuple of str. keras-hub's arguments that Hugging
            Face's files do not have, and that need not be there.
        pad_token: str. What fills shorter rows, where no file says it.
    """

    name: str
    model_type: str
    backbone_class: type[keras.Model]
    has_segments: bool = True
    has_trained_pooler: bool = False
    has_bert_layer: bool = True
    shares_layers: bool = False
    layer_norm_epsilon: float = 1e-12
    default_hidden_act: str = "tanh"
    multiples: Sequence[tuple[str, str]] = (("hidden_dim", "num_heads"),)
    entries: ConfigEntries = ConfigEntries()
    tensor_prefix: str
    layer_names: LayerNames = LayerNames()
    idle_tensors: Sequence[str] = ()
    tokenizer_classes: tuple[str, ...]
    tokenizer_files: tuple[str, ...] = ("vocab.txt",)
    keras_tokenizer_class: Any
    keras_files: tuple[str, ...] = ()
    more_keras_sizes: tuple[str, ...] = ()
    pad_token: str = "[PAD]"

    # The network.

    @property
    def inputs(self) -> tuple[str, ...]:
        """The inputs that decide the hidden states."""
        segments = ("segment_ids",) if self.has_segments else ()
        return ("token_ids", *segments, "padding_mask")

    def identity(self) -> dict[str, str]:
        """What is said of the family where encoders are told apart."""
        return {"family": self.model_type}

    def config(self, backbone: keras.Model) -> dict[str, Any]:
        """The family and keras-hub's arguments, by the same names in all."""
        return {**backbone.get_config(), **self.identity()}

    @property
    def config_sizes(self) -> tuple[str, ...]:
        """The sizes in what `config` gives."""
        return tuple(self.entries.sizes)

    def arguments(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """keras-hub's arguments of the sizes in what `config` gave."""
        return {name: config[name] for name in self.entries.sizes}

    def steps(
        self, backbone: keras.Model
    ) -> list[tuple[keras.layers.Layer, ...]]:
        """The layers from each hidden state to the next, in their order."""
        return [(layer,) for layer in backbone.transformer_layers]

    def transformer_layers(
        self, backbone: keras.Model
    ) -> list[keras.layers.Layer]:
        """All transformer layers, each of them once."""
        layers = [layer for step in self.steps(backbone) for layer in step]
        return list({id(layer): layer for layer in layers}.values())

    @abc.abstractmethod
    def embedding_layers(
        self, backbone: keras.Model
    ) -> list[keras.layers.Layer]:
        """Everything below the first transformer layer that has weights."""

    @abc.abstractmethod
    def tables(self, backbone: keras.Model) -> list[keras.Variable]:
        """The embeddings of tokens, of positions, and of segments if any."""

    def projection(self, backbone: keras.Model) -> keras.layers.Layer | None:
        """What makes hidden states of narrower embeddings, or None."""
        return None

    def pooler(self, backbone: keras.Model) -> keras.layers.Layer | None:
        """The dense layer on the first token, trained or not, or None."""
        return getattr(backbone, "pooled_dense", None)

    def trained_pooler(
        self, backbone: keras.Model
    ) -> keras.layers.Layer | None:
        """The dense layer on the first token, or None if none is trained."""
        return self.pooler(backbone) if self.has_trained_pooler else None

    @abc.abstractmethod
    def embed(
        self, backbone: keras.Model, inputs: dict[str, Any], training: Any
    ) -> Any:
        """Hidden state 0, in the backbone's compute dtype."""

    def hidden_states(
        self,
        backbone: keras.Model,
        inputs: dict[str, Any],
        highest: int,
        training: Any = None,
    ) -> list[Any]:
        """Hidden states from 0 to `highest`, through the backbone's layers.

        Args:
            backbone: keras.Model.
            inputs: dict of int tensors `(batch, tokens)`, those of `inputs`.
            highest: int. None above it is computed.
            training: bool, or None. Whether dropout is applied.

        Returns:
            List of tensors `(batch, tokens, features)`.
        """
        state = self.embed(backbone, inputs, training)
        states = [state]
        for step in self.steps(backbone)[:highest]:
            for layer in step:
                state = layer(
                    state,
                    padding_mask=inputs["padding_mask"],
                    training=training,
                )
            states.append(state)
        return states

    def sequence_output(self, backbone: keras.Model) -> Any:
        """The last hidden state in the backbone's own graph."""
        output = backbone.output
        return output["sequence_output"] if isinstance(output, dict) else output

    def text_output(self, backbone: keras.Model) -> Any:
        """What stands for a whole text in the backbone's own graph.

        The pooler's output, or the first token's last hidden state where no
        pooler was trained.
        """
        if self.has_trained_pooler:
            return backbone.output["pooled_output"]
        return self.sequence_output(backbone)[:, 0]

    def attention_layers(
        self, layer: keras.layers.Layer
    ) -> dict[str, keras.layers.Layer]:
        """The dense layers of a transformer layer's attention, by name."""
        attention = layer._self_attention_layer
        return {
            "query": attention.query_dense,
            "key": attention.key_dense,
            "value": attention.value_dense,
            "attention_output": attention.output_dense,
        }

    # Sizes.

    def vocabulary_size(self, backbone: keras.Model) -> int:
        """How many token ids have embeddings."""
        return backbone.vocabulary_size

    def check_sizes(
        self, sizes: Mapping[str, int], called: Mapping[str, str] | None = None
    ) -> None:
        """Refuses sizes that go with no network.

        Args:
            sizes: mapping. Has the names in `entries.sizes`.
            called: mapping. What a file calls them. Defaults to keras-hub's
                names.

        Raises:
            ValueError: in one line.
        """
        called = called or dict(zip(sizes, sizes, strict=True))
        if sizes["num_layers"] > _MOST_LAYERS:
            raise ValueError(
                f"{called['num_layers']} {sizes['num_layers']}, expected at "
                f"most {_MOST_LAYERS}"
            )
        for whole, part in self.multiples:
            if sizes[whole] % sizes[part]:
                raise ValueError(
                    f"{called[whole]} {sizes[whole]}, expected a multiple of "
                    f"{called[part]} {sizes[part]}"
                )

    def num_weights(self, sizes: Mapping[str, int]) -> int:
        """Weights of an encoder of those sizes, without its pooler.

        Args:
            sizes: mapping. Has the names in `entries.sizes`.
        """
        hidden, inner = sizes["hidden_dim"], sizes["intermediate_dim"]
        width = self.embedding_width(sizes)
        attention = 4 * (hidden + 1) * hidden
        feedforward = (hidden + 1) * inner + (inner + 1) * hidden
        layer = attention + feedforward + 4 * hidden
        projection = (width + 1) * hidden * self.has_projection(sizes)
        return (
            (self.num_embeddings(sizes) + 2) * width
            + projection
            + self.num_distinct_layers(sizes) * layer
        )

    def has_projection(self, sizes: Mapping[str, int]) -> bool:
        """Whether hidden states are made of embeddings by a dense layer."""
        return self.embedding_width(sizes) != sizes["hidden_dim"]

    def num_embeddings(self, sizes: Mapping[str, int]) -> int:
        """Rows of all embeddings together."""
        rows = sizes["vocabulary_size"] + sizes["max_sequence_length"]
        return rows + sizes.get("num_segments", 0)

    def embedding_width(self, sizes: Mapping[str, int]) -> int:
        """Features of an embedding."""
        return sizes.get("embedding_dim", sizes["hidden_dim"])

    def num_distinct_layers(self, sizes: Mapping[str, int]) -> int:
        """How many transformer layers have weights of their own."""
        return sizes["num_layers"]

    # keras-hub's presets.

    def preset_hidden_act(self, name: str) -> str:
        """The GELU that a preset was trained with."""
        del name
        return "erf"

    def preset_sentence_pooling(self, name: str) -> str:
        """What stands for a whole text, as a preset's authors trained it."""
        del name
        return "cls"

    # Hugging Face's files.

    def sizes_of(self, config: Mapping[str, Any]) -> dict[str, int]:
        """keras-hub's arguments out of a config.json, their values checked."""
        return {
            ours: config.get(theirs, self.entries.size_defaults.get(theirs))
            for ours, theirs in self.entries.sizes.items()
        }

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Refuses what is in no table and keras-hub cannot compute.

        Args:
            config: mapping. What config.json says; its sizes are checked.

        Raises:
            ValueError: in one line, of the entry.
        """
        del config

    @abc.abstractmethod
    def embedding_tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        """The tensors below the first transformer layer.

        Args:
            backbone: keras.Model.
            config: mapping. What config.json says.
        """

    def layer_prefixes(
        self, backbone: keras.Model
    ) -> Iterator[tuple[str, keras.layers.Layer]]:
        """Each transformer layer, with what its tensors' names begin with."""
        for index, layer in enumerate(backbone.transformer_layers):
            yield f"encoder.layer.{index}", layer

    def pooler_tensors(self, backbone: keras.Model) -> Iterator[TensorMapping]:
        """The tensors of the pooler, where one is trained."""
        yield from ()

    def tokenizer_content(
        self, paths: Sequence[pathlib.Path], config: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """The tokenizer.json that transformers makes of `tokenizer_files`.

        Args:
            paths: sequence of path. Those files.
            config: mapping. What tokenizer_config.json says.

        Returns:
            None where the files are BERT's, a list of word pieces.

        Raises:
            BackboneError: a file is missing or damaged.
            MissingPackageError: what reads it is not installed.
        """
        del paths, config
        return None

    def tensors(
        self, backbone: keras.Model, config: Mapping[str, Any]
    ) -> Iterator[TensorMapping]:
        """All tensors that decide the hidden states."""
        yield from self.embedding_tensors(backbone, config)
        sizes = {
            "hidden_dim": backbone.hidden_dim,
            "intermediate_dim": backbone.intermediate_dim,
        }
        for prefix, layer in self.layer_prefixes(backbone):
            yield from layer_tensors(
                prefix,
                self.layer_names,
                layer,
                self.attention_layers(layer),
                sizes,
            )
