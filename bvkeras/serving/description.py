"""What `bvkeras.json` of an export may say.

It is somebody else's file until it is checked: each value's type and range
first, then its sizes against the weights that are there, before anything is
made of them.
"""

import contextlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bvkeras.encoders.families.registry import family_of_config
from bvkeras.encoders.sentence_pooling import SENTENCE_POOLINGS
from bvkeras.errors import DataError
from bvkeras.models.pooling_model import POOLERS
from bvkeras.serving.kinds import kind_of
from bvkeras.tasks.kind import Kind
from bvkeras.tasks.pairs import APART, PAIRS

_MOST = (1 << 31) - 1
_MOST_PARAMETERS = 1 << 53
_DIGEST = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
# Names of signatures besides those of the tasks.
RESERVED = ("serving_default", "tokens", "hidden_states", "all")
_KINDS = {kind.value: kind for kind in Kind}
_PROBES = ("LinearProbe", "WeightedProbe")
_OWN_HEAD = "EncoderHead"
_HEAD_SIZES = (
    *("units", "sequence_length", "num_layers", "hidden_dim"),
    *("num_classes", "num_outputs", "last_layer"),
)

Shapes = Mapping[str, tuple[int, ...]]


def check_description(description: dict[str, Any]) -> None:
    """Compares the types and ranges of all values with what `export` writes.

    Raises:
        ValueError: one is missing, or something else.
    """
    with _about("it"):
        versions = _value(description, "versions", dict)
        encoder = _value(description, "encoder", dict)
        tokenizer = _value(description, "tokenizer", dict)
        tasks = _value(description, "tasks", dict, len)
    with _about("versions"):
        for name in versions:
            _value(versions, name, str)
    with _about("encoder"):
        _value(encoder, "name", str)
        _value(encoder, "digest", str, _DIGEST.fullmatch)
        _value(encoder, "dtype", str, ("float32", "bfloat16").__contains__)
        _value(encoder, "parameters", int, _up_to(_MOST_PARAMETERS))
        config = _value(encoder, "config", dict)
        family = family_of_config(config)
        if not family.has_bert_layer:
            raise ValueError(f"is of {family.name}, which no export is")
        for name in family.config_sizes:
            _value(config, name, int, range(1, _MOST).__contains__)
        family.check_sizes(family.arguments(config))
        _value(config, "hidden_act", str, ("erf", "tanh").__contains__)
    with _about("tokenizer"):
        _value(tokenizer, "digest", str, _DIGEST.fullmatch)
        settings = _value(tokenizer, "settings", dict, lambda x: len(x) == 3)
        for name in ("lowercase", "strip_accents", "tokenize_chinese_chars"):
            _value(settings, name, bool)
    for name in tasks:
        with _about("tasks"):
            if not NAME.fullmatch(name) or name in RESERVED:
                raise ValueError(f"has the name {_short(name)}")
            task = _value(tasks, name, dict)
        with _about(name):
            _check_task(task, config)


@contextlib.contextmanager
def _about(name: str) -> Iterator[None]:
    """Says of which part a value was refused."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None


def _check_task(task: dict[str, Any], config: dict[str, Any]) -> None:
    kind = _KINDS[_value(task, "kind", str, _KINDS.__contains__)]
    traits = kind.traits
    if _value(task, "inputs", list) not in map(list, traits.inputs):
        raise ValueError("has other inputs than its kind")
    fewest = traits.fewest_names
    if fewest is not None:
        labels = _value(task, "label_names", list, lambda x: len(x) >= fewest)
        if not all(isinstance(label, str) for label in labels):
            raise ValueError("has label_names that are no text")
    else:
        _value(task, "label_names", type(None))
    pairs = _value(task, "pairs", str, PAIRS.__contains__)
    is_apart = pairs == APART
    if is_apart and (len(task["inputs"]) != 2 or not traits.takes_apart):
        raise ValueError("has no pairs to read apart")
    _value(task, "max_tokens", int, _up_to(config["max_sequence_length"]))
    layers = _value(task, "layers", list, len)
    if not all(
        type(layer) is int and 0 <= layer <= config["num_layers"]
        for layer in layers
    ) or len(set(layers)) < len(layers):
        raise ValueError("has layers that the encoder does not have")
    if traits.has_windows:
        windows = _value(task, "windows", dict, lambda x: len(x) == 2)
        _value(windows, "stride", int, range(1, _MOST).__contains__)
        _value(windows, "question_tokens", int, _up_to(_MOST))
    else:
        _value(task, "windows", type(None))
    for name in ("trained_parameters", "total_parameters"):
        _value(task, name, int, _up_to(_MOST_PARAMETERS))
    head = _value(task, "head", dict)
    _value(head, "type", str, kind_of(kind).heads.__contains__)
    _value(head, "per_token", bool, traits.per_token.__eq__)
    for name in _HEAD_SIZES:
        if head.get(name) is not None:
            _value(head, name, int, _up_to(_MOST))
    if head["type"] != _OWN_HEAD:
        for name in ("num_layers", "hidden_dim"):
            _value(head, name, int, range(1, _MOST).__contains__)
    # A pooled head has no such thing, and is not of pairs apart.
    if head["type"] in (*_PROBES, _OWN_HEAD):
        _value(head, "pairs", bool, is_apart.__eq__)
    elif is_apart:
        raise ValueError("has a head that does not read pairs apart")
    if head["type"] in _PROBES:
        _value(head, "several_labels", bool, (kind is Kind.LABELS).__eq__)
    elif head["type"] == _OWN_HEAD:
        if traits.per_token:
            _value(head, "sentence_pooling", type(None))
        else:
            _value(
                head, "sentence_pooling", str, SENTENCE_POOLINGS.__contains__
            )
        _value(head, "frozen_parameters", int, _up_to(_MOST_PARAMETERS))
    else:
        _value(head, "units", int, range(1, _MOST).__contains__)
        _value(head, "approximate", bool)
        _value(head, "pooler", str, POOLERS.__contains__)


def _value(
    parent: Any,
    name: str,
    kind: type,
    is_allowed: Callable[[Any], Any] | None = None,
) -> Any:
    """A value of an object, if it is of the kind that is expected."""
    if name not in parent:
        raise ValueError(f"lacks {name}")
    value = parent[name]
    if type(value) is not kind:
        raise ValueError(
            f"has {_short(name)} of type {type(value).__name__}, which does "
            f"not fit: expected {kind.__name__}"
        )
    if is_allowed is not None and not is_allowed(value):
        raise ValueError(f"has {name} {_short(value)}, which cannot be")
    return value


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"of {len(value):,} parts"
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _up_to(most: int) -> Callable[[int], bool]:
    return range(most + 1).__contains__


def check_sizes(description: dict[str, Any], shapes: Shapes) -> None:
    """Compares a description's numbers with the weights that are stored.

    Args:
        description: dict, as `check_description` lets through.
        shapes: dict of variable (`encoder/0`, `heads/sst2/1`) to its shape.

    Raises:
        DataError: weights are of other sizes.
    """
    config = description["encoder"]["config"]
    found = _numbered(shapes, "encoder")
    _compare("encoder", found, _encoder_shapes(config))
    names = {name.split("/")[1] for name in shapes if name.startswith("heads/")}
    if names != description["tasks"].keys():
        raise DataError(
            f"there are heads of {sorted(names)}, tasks are "
            f"{sorted(description['tasks'])}"
        )
    for name, task in description["tasks"].items():
        prefix = f"heads/{name}"
        head = _numbered(shapes, prefix)
        _compare(prefix, head, _head_shapes(task, config))
        _check_parameters(name, task, head, description["encoder"])


def _numbered(shapes: Shapes, prefix: str) -> list[tuple[int, ...]]:
    names = [name for name in shapes if name.startswith(f"{prefix}/")]
    try:
        return [shapes[f"{prefix}/{i}"] for i in range(len(names))]
    except KeyError as error:
        raise DataError(f"variable {error} is missing") from None


def _compare(prefix, found, expected) -> None:
    if len(found) != len(expected):
        raise DataError(
            f"{prefix} has {len(found)} variables, expected {len(expected)}"
        )
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        if one != other:
            raise DataError(
                f"variable {prefix}/{i} is of shape {one}, by bvkeras.json it "
                f"is {other}"
            )


def _encoder_shapes(config) -> list[tuple[int, ...]]:
    """In the order of `FastEncoder.map_weights`."""
    features, inner = config["hidden_dim"], config["intermediate_dim"]
    family = family_of_config(config)
    sizes = family.arguments(config)
    width = family.embedding_width(sizes)
    projects = family.has_projection(sizes)
    tables = ("vocabulary_size", "max_sequence_length", "num_segments")
    norm = [(features,), (features,)]
    layer = [
        *norm,
        *((features, features), (features,)),
        *((features, inner), (inner,)),
        *((inner, features), (features,)),
        *norm,
        *((features, 3 * features), (3 * features,)),
    ]
    return [
        *((config[name], width) for name in tables if name in config),
        *((width,), (width,)),
        *([(width, features), (features,)] if projects else []),
        *(layer * family.num_distinct_layers(sizes)),
    ]


def _head_shapes(task, config) -> list[tuple[int, ...]]:
    """In the order of `ServedHead.variables`."""
    head, features = task["head"], config["hidden_dim"]
    traits = _KINDS[task["kind"]].traits
    outputs = traits.num_outputs
    if outputs is None:
        outputs = len(task["label_names"])
    if head["type"] == _OWN_HEAD:
        pooler = []
        has_pooler = family_of_config(config).has_trained_pooler
        if head["sentence_pooling"] == "cls" and has_pooler:
            pooler = [(features, features), (features,)]
        compared = 1 + 2 * features if head["pairs"] else features
        return [*pooler, (compared, outputs), (outputs,)]
    outputs = head.get("num_classes") or head.get("num_outputs") or outputs
    num_layers = len(task["layers"])
    if (head["num_layers"], head["hidden_dim"]) != (num_layers, features):
        raise DataError(
            f"a head is for {head['num_layers']} layers of "
            f"{head['hidden_dim']} features, expected {num_layers} of "
            f"{features}"
        )
    if head["type"] in _PROBES:
        # Of two classes the second's logit is enough.
        if outputs == 2 and not head["several_labels"]:
            outputs = 1
        width = 1 + 2 * features if head["pairs"] else features
        query = [(num_layers, features)] if head["type"] == _PROBES[1] else []
        return [(num_layers * width, outputs), (outputs,), *query]
    units = head["units"]
    is_mix = head["pooler"] == "scalar_mix"
    places = (head.get("sequence_length") or 1, 1 if is_mix else num_layers)
    return [
        (math.prod(places) * units, outputs),
        (outputs,),
        *([(num_layers,), ()] if is_mix else []),
        (features, units),
        (units,),
    ]


def _check_parameters(name, task, head, encoder) -> None:
    own = sum(math.prod(shape) for shape in head)
    if task["head"]["type"] == _OWN_HEAD:
        own = sum(math.prod(shape) for shape in head[-2:])
    total = encoder["parameters"] + own
    if task["total_parameters"] != total or (
        task["trained_parameters"] > total
    ):
        raise DataError(
            f"{name} has {task['total_parameters']:,} parameters by "
            f"bvkeras.json, {total:,} by its weights"
        )
