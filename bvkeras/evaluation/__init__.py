"""Scores of systems on a split, and analyses of their errors."""
