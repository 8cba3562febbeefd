"""A framework's own gradient beside the derivative of its map, and why they part."""
