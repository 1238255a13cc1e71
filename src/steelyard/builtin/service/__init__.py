"""The roles of a run, each a service of its own."""
