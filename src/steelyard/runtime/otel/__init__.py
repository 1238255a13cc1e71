"""Streams results of a running benchmark to an OpenTelemetry collector, from another process."""
