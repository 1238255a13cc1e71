"""Ramps: how a load grows to its full value."""
