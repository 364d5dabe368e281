"""Answers that are spans of a context: scores, tables, error analysis."""
