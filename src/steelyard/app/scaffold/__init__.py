"""Writes new plugin packages: `steelyard plugins new KIND NAME`."""
