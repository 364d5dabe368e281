"""The loss of a span: the class `SpanCrossEntropy`."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bvkeras")
class SpanCrossEntropy(keras.losses.Loss):
    """Cross-entropy over a window's tokens, the mean of start and end.

    Args:
        name: str. Defaults to `"span_cross_entropy"`.
        **kwargs: Arguments of `keras.losses.Loss`.

    Call arguments:
        y_true: int tensor `(batch, 2)`. First and last token of the answer.
        y_pred: float tensor `(batch, tokens, 2)`. Logits of start and end;
            where there can be no answer, `ops.span_logits.MASKED_LOGIT`.

    Example:
        ```python
        model = bvkeras.models.PoolingSpanModel(units=64)
        model.compile("adam", bvkeras.models.SpanCrossEntropy())
        model.fit(cache.as_dataset(16, shuffle=True), epochs=3)
        ```

    Reference:
        Devlin et al., "BERT", 2019, section 4.2.
    """

    def __init__(self, name: str = "span_cross_entropy", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        losses = ops.sparse_categorical_crossentropy(
            ops.cast(y_true, "int64"),
            ops.transpose(y_pred, (0, 2, 1)),
            from_logits=True,
        )
        return ops.mean(losses, axis=-1)
