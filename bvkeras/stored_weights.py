"""How many weights a file holds: what a config may ask for, and no more."""

import h5py

from bvkeras.errors import BvkerasError


def h5_weights(file: h5py.File) -> int:
    """Numbers whose bytes lie in an HDF5 file.

    What is only declared does not count: a data set of any size can be.
    """
    count = 0

    def add(_, item):
        nonlocal count
        if isinstance(item, h5py.Dataset):
            stored = item.id.get_storage_size() // max(item.dtype.itemsize, 1)
            count += min(item.size or 0, stored)

    file.visititems(add)
    return count


def require_weights(
    config: object,
    wanted: int,
    weights: object,
    found: int,
    error: type[BvkerasError],
) -> None:
    """Refuses a config that asks for more weights than there are.

    Args:
        config: path of the config, for the message.
        wanted: int. Weights it asks for.
        weights: path of the file with the weights.
        found: int. Weights in it.
        error: class. What is raised.
    """
    if wanted > found:
        raise error(
            f"{config} asks for {wanted:,} weights, {weights} holds {found:,}"
        )
