"""The names of the `aiperf` documents (000, 001, 002), spelled over the core."""
