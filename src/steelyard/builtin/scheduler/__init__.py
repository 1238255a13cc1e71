"""Schedulers: who does what next."""
