"""Phases under the `aiperf` names."""
