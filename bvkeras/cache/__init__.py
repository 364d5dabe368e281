"""Hidden states on disk: written, verified, read, converted."""
