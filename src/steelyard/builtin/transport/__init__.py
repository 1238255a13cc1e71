"""Transports: how bytes reach a server."""
