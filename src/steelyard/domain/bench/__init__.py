"""The benchmark's models and machines."""
