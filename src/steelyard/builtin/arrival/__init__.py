"""Arrivals: the beat at which an open loop sends."""
