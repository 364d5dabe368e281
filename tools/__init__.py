"""Building bvkeras, and checking what was built."""
