"""Public fakes, the virtual clock and the conformance kits."""
