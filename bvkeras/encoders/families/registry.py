"""All families, and which of them a backbone or a config.json is of."""

from collections.abc import Mapping
from typing import Any

import keras

from bvkeras.encoders.families.albert import Albert
from bvkeras.encoders.families.bert import Bert
from bvkeras.encoders.families.deberta_v3 import DebertaV3
from bvkeras.encoders.families.distilbert import DistilBert
from bvkeras.encoders.families.electra import Electra
from bvkeras.encoders.families.family import Family
from bvkeras.encoders.families.roberta import Roberta
from bvkeras.encoders.families.xlm_roberta import XlmRoberta
from bvkeras.errors import ArgumentError

FAMILIES: tuple[Family, ...] = (
    Bert(),
    Roberta(),
    XlmRoberta(),
    DistilBert(),
    Electra(),
    DebertaV3(),
    Albert(),
)
_OF_CLASS = {family.backbone_class: family for family in FAMILIES}
_OF_MODEL_TYPE = {family.model_type: family for family in FAMILIES}


def family_of(backbone: keras.Model) -> Family:
    """The family of a backbone.

    Args:
        backbone: keras.Model. One of keras-hub's backbones, or a subclass.

    Raises:
        ArgumentError: it is of no family that bvkeras knows.
    """
    for parent in type(backbone).__mro__:
        if parent in _OF_CLASS:
            return _OF_CLASS[parent]
    names = ", ".join(family.__name__ for family in _OF_CLASS)
    raise ArgumentError(
        f"backbone must be one of keras_hub.models' {names}; got "
        f"{type(backbone).__name__}"
    )


def family_named(model_type: object) -> Family | None:
    """The family that config.json calls `model_type`, or None."""
    return _OF_MODEL_TYPE.get(model_type) if type(model_type) is str else None


def family_of_config(config: Mapping[str, Any]) -> Family:
    """The family whose `config` gave `config`.

    Raises:
        ValueError: there is none.
    """
    name = config.get("family", FAMILIES[0].model_type)
    family = family_named(name)
    if family is None:
        raise ValueError(f"has another family, expected {list(_OF_MODEL_TYPE)}")
    return family


def family_of_class(class_name: object) -> Family | None:
    """The family whose backbone keras-hub calls `class_name`, or None."""
    for family in FAMILIES:
        if family.backbone_class.__name__ == class_name:
            return family
    return None
