"""What every test of this repository gets; strangers can have the same from steelyard.testing."""

pytest_plugins = ["steelyard.testing.fixtures", "steelyard.testing.components", "pytester"]
