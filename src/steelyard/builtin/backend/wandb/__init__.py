"""Weights & Biases: online, or into files that are sent later."""
