"""What a fine-tuned model computes, its encoder on the fast path."""

from collections.abc import Callable

import keras
import tensorflow as tf

from bvkeras.encoders.families.registry import family_of
from bvkeras.encoders.inference import inference_encoder

Inputs = dict[str, tf.Tensor]


def inference_function(
    model: keras.Model, backbone: keras.Model
) -> Callable[[Inputs], tf.Tensor]:
    """A function that gives a model's outputs, without dropout.

    keras-hub's layers are written for training. Here `inference_encoder`
    computes the last hidden state, and the model's own layers what follows.
    Weights of the encoder are copied at this call.

    Args:
        model: keras.Model. What `finetuning_model` gave, or a part of it from
            its inputs on.
        backbone: keras.Model. The encoder in it.

    Returns:
        Callable of a dict of int tensors `(batch, tokens)`.
    """
    if not family_of(backbone).has_bert_layer:
        return lambda inputs: model(inputs, training=False)
    encoder = inference_encoder(backbone, [-1])
    texts = _find(model, "text")
    if texts is None:
        return _after(encoder, model, backbone)
    split = model.get_layer("split_pairs")
    text_vectors = _after(encoder, texts, backbone)
    compared = model.get_layer("compare_pairs").input
    rest = keras.Model(compared, model.output)
    return lambda pairs: rest(text_vectors(split(pairs)), training=False)


def _after(encoder, model, backbone):
    """A model's outputs, given the last hidden states of its encoder."""
    states = family_of(backbone).sequence_output(backbone)
    names = list(model.input)
    top = keras.Model([states, *model.input.values()], model.output)

    def outputs(inputs):
        [last] = encoder(inputs)
        given = [last, *(inputs[name] for name in names)]
        return top(given, training=False)

    return outputs


def _find(model, name):
    return next((one for one in model.layers if one.name == name), None)
