"""The families of encoders: an object each, and the one place that knows them.

`registry` finds the object of a backbone or of a config.json. A new family is
a file here and a line there.
"""
