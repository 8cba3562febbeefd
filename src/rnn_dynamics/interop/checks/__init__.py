"""A cell beside outputs of its own runtime, and the convention that fits them."""
