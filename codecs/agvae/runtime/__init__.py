"""Running the networks: engine, precision, tiles, refinement and rate search."""
