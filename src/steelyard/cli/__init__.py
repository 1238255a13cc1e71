"""Parses, calls, prints; the only layer that exits the process."""
