"""Messages over a pipe: four bytes of length, big endian, then msgpack, which keeps infinities."""

from collections.abc import Iterator
from typing import Any

import msgspec

LENGTH_BYTES = 4


def frame_of(message: Any) -> bytes:
    """Return a message as it goes over a pipe."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(LENGTH_BYTES) + data


class Frames:
    """Cuts what comes out of a pipe into messages.

    Args:
        kinds: the type of a message, as msgspec decodes it.
        bytes_max: of one message; None for as many as its length can say.
    """

    def __init__(self, kinds: Any = Any, *, bytes_max: int | None = None) -> None:
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self._bytes_max = bytes_max
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the messages that are whole now.

        Raises:
            msgspec.MsgspecError: it is none of them, or longer than it may be.
        """
        self._buffer += data
        while len(self._buffer) >= LENGTH_BYTES:
            length = int.from_bytes(self._buffer[:LENGTH_BYTES])
            if self._bytes_max is not None and length > self._bytes_max:
                raise msgspec.DecodeError(f"{length} bytes announced, at most {self._bytes_max}")
            end = LENGTH_BYTES + length
            if len(self._buffer) < end:
                return
            message = self._decoder.decode(bytes(self._buffer[LENGTH_BYTES:end]))
            del self._buffer[:end]
            yield message
