"""The registry of plugins under the `aiperf` names."""
