"""The public Python API of the benchmark."""
