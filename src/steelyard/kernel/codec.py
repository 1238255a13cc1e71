"""The envelope of every message and journal event: msgspec, versioned, bounded by its reader."""

import msgspec


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """A typed message: `type` names the Struct in `payload`, `version` its schema."""

    type: str
    payload: msgspec.Raw
    version: int = 1
    source: str = ""
    target: str = ""
    request_id: str = ""
    reply_to: str = ""


_encoder = msgspec.msgpack.Encoder()
_envelope_decoder = msgspec.msgpack.Decoder(Envelope)


def encode(value: object) -> bytes:
    """Return `value` (a Struct or plain data) as MessagePack."""
    return _encoder.encode(value)


def decode_envelope(data: bytes | memoryview) -> Envelope:
    """Return the envelope in `data`; its payload stays undecoded.

    Raises:
        msgspec.DecodeError: the bytes are not an envelope.
    """
    return _envelope_decoder.decode(data)
