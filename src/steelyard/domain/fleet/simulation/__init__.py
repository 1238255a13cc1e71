"""A fleet on a virtual clock: what another scheduler would have made of a queue."""
