"""Processors of streamed results."""
