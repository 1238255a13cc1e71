"""Consoles that declare what they show."""
