"""Sockets with kernel receive stamps (CLOCK_REALTIME).

Source: Linux kernel documentation, "Timestamping" (SO_TIMESTAMPNS); socket(7). A stamp on TCP
belongs to the last segment that a read returned.
"""

import socket
import struct
from collections.abc import Callable

from steelyard.kernel.units import NS_PER_S

_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_TIMESPEC = struct.Struct("=qq")
_NATIVE_TIMESPEC_BYTES = struct.calcsize("@ll")
_unpack: Callable[[bytes], tuple[int, int]] = _TIMESPEC.unpack
STAMP_SPACE = socket.CMSG_SPACE(_TIMESPEC.size)


def open_stream(family: int) -> tuple[socket.socket, bool]:
    """Return a non-blocking TCP or Unix socket, and whether the kernel stamps what it receives.

    Linux stamps no Unix sockets, and where time is 32 bits wide a stamp has another layout.
    """
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family == socket.AF_UNIX:
        return sock, False
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if _TIMESPEC.size != _NATIVE_TIMESPEC_BYTES:
        return sock, False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return sock, False
    return sock, True


def stamp_of(ancillary: list[tuple[int, int, bytes]]) -> int:
    """Return the CLOCK_REALTIME ns of a read of a socket from `open_stream`.

    Args:
        ancillary: what came with the read, not empty: no other kind of it was asked for.
    """
    seconds, nanoseconds = _unpack(ancillary[0][2])
    return seconds * NS_PER_S + nanoseconds
