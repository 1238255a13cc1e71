"""Our own batteries, found through the same manifest as a stranger's."""
