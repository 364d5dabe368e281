"""Hidden states that others computed: how they lie in files, and a cache."""
