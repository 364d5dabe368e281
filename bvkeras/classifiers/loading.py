"""Opening what `save` of a text-in, answer-out object wrote."""

import os
import pathlib

from bvkeras import fileio
from bvkeras.classifiers.answer_finder import AnswerFinder
from bvkeras.classifiers.text_classifier import TextClassifier
from bvkeras.classifiers.text_regressor import TextRegressor
from bvkeras.classifiers.text_task import TextTask
from bvkeras.classifiers.token_classifier import TokenClassifier
from bvkeras.errors import ArgumentError, DataError
from bvkeras.printable import one_line
from bvkeras.schema import COUNT, OBJECT, TEXT, record_of
from bvkeras.serving.runs import MODEL_FILE

_CLASSES = {
    kind.__name__: kind
    for kind in (AnswerFinder, TextClassifier, TextRegressor, TokenClassifier)
}
_SCHEMA = record_of(
    {"class": {"enum": list(_CLASSES)}},
    encoder_training=TEXT,
    seed=COUNT,
    settings=OBJECT,
)
_SCHEMA["required"].append("class")


def load(directory: str | os.PathLike) -> TextTask:
    """Opens a saved `TextClassifier`, `TokenClassifier` and their like.

    Args:
        directory: str or path. What its `save` wrote.

    Returns:
        The object, trained. Trained again, it begins with the encoder that
        was saved.

    Raises:
        DataError: `directory` holds none, or it is damaged.
    """
    directory = pathlib.Path(directory)
    path = directory / MODEL_FILE
    if not path.is_file():
        raise DataError(
            f"{directory} is no saved model: it has no {MODEL_FILE}"
        )
    record = fileio.read_json(path, _SCHEMA)
    try:
        return _CLASSES[record["class"]].open(directory, record)
    except (ArgumentError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read: {one_line(error)}") from None
