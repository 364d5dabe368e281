"""How a setting names hidden states, as `"0+3+6"`."""

from bvkeras.errors import ArgumentError

ALL_LAYERS = "all"


def parsed_layers(text: str | int) -> tuple[int, ...] | None:
    """Layers from a text such as `"0+3+6"`, sorted; None for `"all"`.

    Args:
        text: str, or int for one layer.

    Raises:
        ArgumentError: it is neither, or names a layer twice.
    """
    if text == ALL_LAYERS:
        return None
    try:
        layers = tuple(sorted(int(part) for part in str(text).split("+")))
    except ValueError:
        layers = ()
    if not layers or len(set(layers)) < len(layers):
        raise ArgumentError(
            f"layers: expected numbers such as 0+3+6, or {ALL_LAYERS}, got "
            f"{text!r}"
        )
    return layers
