"""Endpoints: the interfaces that inference servers speak."""
