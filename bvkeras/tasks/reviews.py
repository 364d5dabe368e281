"""Sentiment of movie-review sentences, the task of the demonstration.

Reference:
    Pang and Lee 2005, "Seeing stars: Exploiting class relationships for
    sentiment categorization with respect to rating scales".
"""

from bvkeras.tasks.glue import SST2
from bvkeras.tasks.settings import small_settings
from bvkeras.tasks.spec import TaskSpec

REVIEWS = TaskSpec(
    name="reviews",
    title="Movie reviews",
    text_columns=("text",),
    label_column="label",
    label_names=("negative", "positive"),
    metrics=("accuracy",),
    # SST-2's sentences come from the same reviews.
    paper_settings=SST2.paper_settings,
    small_settings=small_settings(32, max_tokens=64),
    source="reviews",
)
