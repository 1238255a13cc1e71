"""The names of the `distributed_testing` document (003), spelled over the core."""
