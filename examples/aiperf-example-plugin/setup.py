"""Tells Steelyard that this package has plugins; all else is in pyproject.toml."""

from setuptools import setup

setup(
    entry_points={
        # Names the package, whose registry.yaml then names the plugins.
        "steelyard.plugins": ["example_plugin = aiperf_example_plugin:__version__"],
    },
)
