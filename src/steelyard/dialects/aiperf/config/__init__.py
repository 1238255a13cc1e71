"""Configuration of a run under the `aiperf` names."""
