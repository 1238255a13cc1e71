"""Datasets: they yield conversations, lazily."""
