"""The verbs of `bvkeras cache`."""

SUMMARY = "look at, check, convert, tidy up, copy and import caches"
