"""The base classes of services."""
