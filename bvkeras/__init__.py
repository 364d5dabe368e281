"""bvkeras: BERT's hidden states as a cheap, reusable feature engine."""

__version__ = "0.1.0"
