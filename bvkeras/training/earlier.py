"""What runs of earlier versions were made with and do not say."""

from bvkeras.encoders.sentence_pooling import NOT_MEAN
from bvkeras.training.freezing import NOT_FROZEN
from bvkeras.training.head import NOT_POOLED

EARLIER = {**NOT_FROZEN, **NOT_MEAN, **NOT_POOLED, "dropout": 0.1}
