"""Single questions about training: latching, depth, longer and longer unfolding, events on the way."""
