"""Sockets with kernel receive stamps (CLOCK_REALTIME).

Source: Linux kernel documentation, "Timestamping" (SO_TIMESTAMPNS); socket(7). A stamp on TCP
belongs to the last segment that a read returned.
"""

import socket
import struct

from steelyard.kernel.units import NS_PER_S

_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIMESPEC = struct.Struct("=qq")
STAMP_SPACE = socket.CMSG_SPACE(_TIMESPEC.size)


def open_stream(family: int) -> tuple[socket.socket, bool]:
    """Return a non-blocking TCP or Unix socket, and whether the kernel stamps what it receives."""
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return sock, False
    return sock, True


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the CLOCK_REALTIME ns of a read, or 0 when the kernel gave none."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds: int
            nanoseconds: int
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return seconds * NS_PER_S + nanoseconds
    return 0
