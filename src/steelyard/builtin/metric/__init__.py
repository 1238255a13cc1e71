"""Metrics, by family; each is one class with its definition beside its formula."""
