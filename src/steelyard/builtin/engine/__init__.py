"""Engines of the fleet."""
