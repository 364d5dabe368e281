"""Scores of tagged words: entities, files of answers, errors."""
