"""The roles of a run, under the folders of the developers' guide."""
