"""Settings that make a run on the tiny BERT and the small files quick."""

FAST = {"max_tokens": 32, "batch_size": 8, "units": 4, "head_epochs": 2}
