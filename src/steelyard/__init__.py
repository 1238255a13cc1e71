"""Steelyard measures AI inference servers: exact load, kernel stamps, error bars, a verdict."""

__version__ = "0.1.0"
