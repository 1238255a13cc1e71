"""The fleet's service: HTTP, WebSocket, keys. Everything is refused that no rule allows."""
