"""Exporters: a run written to files."""
