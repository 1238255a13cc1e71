"""Tokenizers: they count and make tokens, offline."""
