"""Collectors that come with Steelyard."""
