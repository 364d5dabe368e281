"""The command line: one file a verb.

A verb is a summary, a function that adds its options to a parser, and one that
does the work with what was parsed. Nothing slow is imported before the last.
"""
