"""The names of the reference systems, spelled over the core."""
