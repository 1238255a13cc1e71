"""A benchmark becomes a tracked run, in a process of its own."""
