"""The plugin package of document 004's examples."""
