"""Consoles: a run shown to a person."""
