"""Labelled texts: from official files, data sets and packages to tokens."""
