"""Backends: where runs are mirrored to."""
