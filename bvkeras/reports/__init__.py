"""A run's page, the paper's tables, and pictures."""
