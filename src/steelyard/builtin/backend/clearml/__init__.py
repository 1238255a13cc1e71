"""Mirrors to ClearML: `server` to a server, `offline` to a session that a server can import."""
