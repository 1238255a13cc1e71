"""The names of the `tracelet` document (004), spelled over the core."""
