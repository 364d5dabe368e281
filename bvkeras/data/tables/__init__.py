"""Tables of one's own: reading, checking, splitting and describing them."""
