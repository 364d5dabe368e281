"""The encoder with its usual head, as BERT is fine-tuned."""

import keras


def finetuning_model(
    backbone: keras.Model,
    num_outputs: int,
    dropout: float = 0.1,
    seed: int = 0,
) -> keras.Model:
    """BERT's [CLS] output, dropout, and one dense layer, all trained.

    Args:
        backbone: keras-hub BertBackbone; its weights are shared, not copied.
        num_outputs: int. Number of classes, or 1 for regression.
        dropout: float. Dropout in front of the dense layer.
            Defaults to `0.1`.
        seed: int. Seed of the dense layer's start and of its dropout.

    Returns:
        Functional model from `{token_ids, segment_ids, padding_mask}`, each
        `(batch, tokens)`, to float32 logits `(batch, num_outputs)`.

    Reference:
        Devlin et al., "BERT", 2019, section 4.1.
    """
    pooled = backbone.output["pooled_output"]
    pooled = keras.layers.Dropout(dropout, seed=seed)(pooled)
    logits = keras.layers.Dense(
        num_outputs,
        kernel_initializer=keras.initializers.TruncatedNormal(0.02, seed=seed),
        dtype="float32",
        name="logits",
    )(pooled)
    return keras.Model(backbone.input, logits, name="finetuning_model")
