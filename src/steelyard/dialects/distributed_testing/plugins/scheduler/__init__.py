"""Schedulers: the names that authors write them with."""
