"""Machines that decide and never do: no clock, no socket, no file."""
