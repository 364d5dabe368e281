"""The loss of tags: the class `TokenCrossEntropy`."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bvkeras")
class TokenCrossEntropy(keras.losses.Loss):
    """Cross-entropy over the tokens that have a label.

    Each example's part is what its tokens add to the mean over all labelled
    tokens of the batch: a long sentence counts for more than a short one.

    Args:
        name: str. Defaults to `"token_cross_entropy"`.
        **kwargs: Arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: int tensor `(batch, tokens)`. Classes, or -1 where a token has
            none. It may be wider than `y_pred`: what is after is left out.
        y_pred: float tensor `(batch, tokens, classes)`. Logits.

    Example:
        ```python
        model = bvkeras.models.PoolingTagger(num_classes=5, units=16)
        model.compile("adam", bvkeras.models.TokenCrossEntropy())
        model.fit(cache.as_dataset(16, shuffle=True), epochs=3)
        ```

    Reference:
        Devlin et al., "BERT", 2019, section 5.3.
    """

    def __init__(self, name: str = "token_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        labels = ops.cast(y_true, "int32")[:, : ops.shape(y_pred)[1]]
        has_label = labels >= 0
        losses = ops.sparse_categorical_crossentropy(
            ops.where(has_label, labels, 0), y_pred, from_logits=True
        )
        weights = ops.cast(has_label, losses.dtype)
        labelled = ops.mean(ops.sum(weights, axis=-1))
        sums = ops.sum(ops.where(has_label, losses, 0.0), axis=-1)
        # A batch may have none, as of sentences without a word piece.
        return sums / ops.where(labelled > 0, labelled, 1.0)
