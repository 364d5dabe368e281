"""The encoder with its usual head, as BERT is fine-tuned."""

import keras

from bvkeras.encoders.families.registry import family_of
from bvkeras.encoders.sentence_pooling import check_sentence_pooling
from bvkeras.layers.compare_pairs import ComparePairs
from bvkeras.layers.split_pairs import SplitPairs
from bvkeras.ops.span_logits import answer_positions, masked_logits


def finetuning_model(
    backbone: keras.Model,
    num_outputs: int,
    dropout: float = 0.1,
    seed: int = 0,
    per_token: bool = False,
    answers_only: bool = False,
    sentence_pooling: str = "cls",
    apart: bool = False,
) -> keras.Model:
    """BERT's [CLS] output, dropout, and one dense layer, all trained.

    Encoders that have no trained pooler give the last hidden state of their
    first token. With the mean as sentence pooling, the same on the mean of the
    last hidden states, without a pooler; for spans and tags, on the last
    hidden state of every token.

    Args:
        backbone: keras.Model. keras-hub's; its weights are shared, not copied.
        num_outputs: int. Number of classes, or 1 for regression.
        dropout: float. Dropout in front of the dense layer.
            Defaults to `0.1`.
        seed: int. Seed of the dense layer's start and of its dropout.
        per_token: bool. Whether every token has outputs: the logits of a
            span's start and end, or of a word's tag. Defaults to `False`.
        answers_only: bool. Whether outputs of tokens are masked where no
            answer to a question can be (see `bvkeras.ops.span_logits`).
            Defaults to `False`.
        sentence_pooling: str. What stands for a whole text: `"cls"`, the
            first token as above; `"first"`, its last hidden state also
            where there is a pooler; or `"mean"`, the mean of the last hidden
            states of its tokens, without padding, in float32. Not used
            `per_token`. Defaults to `"cls"`.
        apart: bool. Whether a row holds two texts, each with its own special
            tokens, that the encoder reads each by itself; the dense layer
            sees the cosine of both vectors, their difference and their
            product, without dropout. Defaults to `False`.

    Returns:
        Functional model from `{token_ids, segment_ids, padding_mask}`, each
        `(batch, tokens)`, to float32 logits `(batch, num_outputs)`, or
        `(batch, tokens, num_outputs)`.

    Raises:
        ArgumentError: `sentence_pooling` is none of the three.

    Reference:
        Devlin et al., "BERT", 2019, sections 4.1 to 4.3. Reimers and
        Gurevych, "Sentence-BERT", 2019, section 3, for the mean and for pairs
        apart.
    """
    check_sentence_pooling(sentence_pooling)
    family = family_of(backbone)
    inputs = dict(backbone.input)
    # Of the same inputs for all, also where the encoder does not read them.
    inputs.setdefault("segment_ids", _input("segment_ids"))
    if per_token:
        features = family.sequence_output(backbone)
    elif sentence_pooling == "mean":
        mean = keras.layers.GlobalAveragePooling1D(dtype="float32", name="mean")
        features = mean(
            family.sequence_output(backbone),
            mask=inputs["padding_mask"],
        )
    elif sentence_pooling == "first":
        features = family.sequence_output(backbone)[:, 0]
    else:
        features = family.text_output(backbone)
    if apart:
        inputs, features = _apart(inputs, features)
    else:
        features = keras.layers.Dropout(dropout, seed=seed)(features)
    logits = keras.layers.Dense(
        num_outputs,
        kernel_initializer=keras.initializers.TruncatedNormal(0.02, seed=seed),
        dtype="float32",
        name="logits",
    )(features)
    if answers_only:
        positions = answer_positions(inputs["segment_ids"])
        logits = masked_logits(logits, positions)
    return keras.Model(inputs, logits, name="finetuning_model")


def _apart(inputs, features):
    """Inputs of pairs, and what is compared of them."""
    text_model = keras.Model(inputs, features, name="text")
    pairs = {name: _input(name) for name in inputs}
    vectors = text_model(SplitPairs(name="split_pairs")(pairs))
    compare = ComparePairs(dtype="float32", name="compare_pairs")
    return pairs, compare(vectors)


def _input(name):
    return keras.Input((None,), dtype="int32", name=name)
