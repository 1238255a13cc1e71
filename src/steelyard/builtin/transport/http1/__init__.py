"""Transport `http1`: HTTP/1.1 over our own non-blocking sockets, with kernel receive stamps."""

from steelyard.builtin.transport.http1.pool import Http1Transport

__all__ = ["Http1Transport"]
