"""Does a row's nearest neighbour in the training file have its label?

For each text column of a task: which share of rows has a text that is like one
of the training file (cosine of TF-IDF above .4), and in which share of those
the nearest has the same label. First of the training rows, each against all
others; then of the development set. Where the two disagree, training rows held
out at random say little of the development set.

    python benchmarks/similar_rows.py --data-dir GLUE --task rte
"""

import argparse
import pathlib
from collections.abc import Iterator

import numpy as np
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import TfidfVectorizer

from bvkeras import tasks
from bvkeras.data.examples import Examples
from bvkeras.data.sources import load_examples

_SIMILAR = 0.4


def main() -> None:
    """Prints the table of one task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=pathlib.Path)
    parser.add_argument("--task", default="rte")
    options = parser.parse_args()
    task = tasks.get(options.task)
    train, dev = (
        load_examples(task, split, options.data_dir)
        for split in ("train", task.evaluation_splits[0])
    )
    print("| rows | text | like a training row | its label is the same |")
    print("|---|---|---|---|")
    for name, rows in (("training", train), (dev.split, dev)):
        for column, (texts, known) in enumerate(
            zip(_columns(rows), _columns(train), strict=True)
        ):
            vectorizer = TfidfVectorizer().fit([*known, *texts])
            # Rows of TF-IDF have the norm 1.
            cosines = (
                vectorizer.transform(texts) @ vectorizer.transform(known).T
            ).toarray()
            if rows is train:
                np.fill_diagonal(cosines, 0.0)
            like = cosines.max(axis=1) > _SIMILAR
            same = train.labels[cosines.argmax(axis=1)] == rows.labels
            print(
                f"| {name} | {task.text_columns[column]} | "
                f"{like.sum()} ({like.mean():.3f}) | {same[like].mean():.3f} |"
            )


def similar_groups(examples: Examples) -> np.ndarray:
    """The group of each row, `(rows,)`: similar texts of a column join two."""
    similar = 0
    for texts in _columns(examples):
        features = TfidfVectorizer().fit_transform(texts)
        similar += (features @ features.T > _SIMILAR).astype(int)
    return connected_components(similar, directed=False)[1]


def _columns(examples: Examples) -> Iterator[tuple[str, ...]]:
    yield examples.texts_a
    if examples.texts_b is not None:
        yield examples.texts_b


if __name__ == "__main__":
    main()
