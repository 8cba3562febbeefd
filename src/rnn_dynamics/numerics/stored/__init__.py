"""A sweep on disk: blocks of a grid, what tells one computation from another, the Zarr store, and who computes."""
