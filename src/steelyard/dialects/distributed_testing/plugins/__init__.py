"""Plugins of the coordinator, by the names of reference 003."""
