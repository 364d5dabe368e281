"""What runs of earlier versions were made with and do not say."""

from bvkeras.encoders.sentence_pooling import NOT_MEAN
from bvkeras.schema import NUMBER, list_of, record_of
from bvkeras.training.freezing import NOT_FROZEN
from bvkeras.training.head import NOT_POOLED

# What those who look for a run's parts must find in its settings.json.
RUN_SETTINGS_SCHEMA = record_of(epochs={**list_of(NUMBER), "minItems": 1})
EARLIER = {**NOT_FROZEN, **NOT_MEAN, **NOT_POOLED, "dropout": 0.1}
