"""A request and its response as they went over the wire, as one JSON line without secrets.

Keys that AIPerf's `profile_export_raw.jsonl` has too mean the same here: `metadata`,
`start_perf_ns`, `payload`, `request_headers`, `status`, `response_headers`, `responses`, `error`;
`perf_ns` is CLOCK_MONOTONIC. Bodies are whole and exact up to `BODY_BYTES_MAX`.
"""

import base64
import codecs
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import msgspec

from steelyard.domain.bench.protocol.http_head import final_head
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.domain.bench.redact import HIDDEN, is_secret_name

BODY_BYTES_MAX = 1024 * 1024
"""Bytes of a request's body, and of a response's, that are kept; the rest is counted."""
SECRET_BYTES_MIN = 8
"""Secrets shorter than this are hidden in headers only: they would match by chance elsewhere."""

_encoder = msgspec.json.Encoder()
_any_json = msgspec.json.Decoder(msgspec.Raw)


class RawMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Which request it was: enough to join it to its record."""

    x_request_id: str
    schedule_index: int
    attempt: int
    session_num: int
    turn_index: int
    benchmark_phase: str
    worker_id: int


class Arrived(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a response's body and when it was there.

    `base64` stands in for `text` in all pieces of a body that is no UTF-8.
    """

    perf_ns: int
    text: str = ""
    base64: str = ""


class RawError(msgspec.Struct, frozen=True):
    """Why the request failed."""

    type: str
    message: str


class RawRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line.

    Attributes:
        start_perf_ns, end_perf_ns: first send and end, CLOCK_MONOTONIC; null if not sent.
        payload: the request's body, byte for byte, where it is JSON on one line.
        payload_text, payload_base64: the body where it is not, or is longer than is kept.
        request_bytes, response_bytes: size of the bodies, whether or not they are here whole.
        request_truncated, response_truncated: only the beginning of the body is here.
    """

    metadata: RawMetadata
    start_perf_ns: int | None
    end_perf_ns: int | None
    payload: msgspec.Raw | None
    payload_text: str | None
    payload_base64: str | None
    request_bytes: int
    request_truncated: bool
    request_headers: dict[str, str]
    status: int | None
    response_headers: dict[str, str]
    responses: list[Arrived]
    response_bytes: int
    response_truncated: bool
    error: RawError | None


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange left: bytes as they were sent and received, not yet fit to be shown.

    Attributes:
        request: head and body.
        head: the response's first bytes; they may go on into the body.
        pieces, stamps: the response's body as it arrived.
    """

    request: bytes
    start_ns: int
    end_ns: int
    status: int
    head: bytes
    pieces: Sequence[bytes]
    stamps: Sequence[int]
    error: ErrorKind
    error_text: str


class RawWriter:
    """Makes lines.

    Args:
        secret_headers: names of request headers that hold secrets, beside those that sound so.
        secrets: values that must not appear anywhere; what a server echoes included.
    """

    def __init__(self, secret_headers: Sequence[str], secrets: Sequence[str]) -> None:
        self._secret_headers = {name.lower() for name in secret_headers}
        self._secrets = [s.encode() for s in secrets if len(s.encode()) >= SECRET_BYTES_MIN]

    def line(self, metadata: RawMetadata, said: Said) -> bytes:
        """Return the line, its end included."""
        head, _, body = said.request.partition(b"\r\n\r\n")
        payload = self._payload(body)
        size = sum(map(len, said.pieces))
        record = RawRecord(
            metadata=metadata,
            start_perf_ns=_or_none(said.start_ns),
            end_perf_ns=_or_none(said.end_ns),
            payload=payload.get("payload"),
            payload_text=payload.get("payload_text"),
            payload_base64=payload.get("payload_base64"),
            request_bytes=len(body),
            request_truncated=len(body) > BODY_BYTES_MAX,
            request_headers=self._headers(head),
            status=_or_none(said.status),
            response_headers=self._headers(final_head(said.head) or b""),
            responses=self._responses(said.pieces, said.stamps, whole=size <= BODY_BYTES_MAX),
            response_bytes=size,
            response_truncated=size > BODY_BYTES_MAX,
            error=self._error(said),
        )
        return _encoder.encode(record) + b"\n"

    def _payload(self, body: bytes) -> dict[str, Any]:
        kept = self._clean(body[:BODY_BYTES_MAX])
        try:
            text = kept.decode()
        except UnicodeDecodeError:
            return {"payload_base64": base64.b64encode(kept).decode()}
        if len(body) <= BODY_BYTES_MAX and "\n" not in text and "\r" not in text:
            try:
                return {"payload": _any_json.decode(kept)}
            except msgspec.DecodeError:
                return {"payload_text": text}
        return {"payload_text": text}

    def _headers(self, head: bytes) -> dict[str, str]:
        """Return the fields of a head, less those that hold secrets; the last of a name counts."""
        fields: dict[str, str] = {}
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            if not is_secret_name(name) and name.lower() not in self._secret_headers:
                fields[name] = self._clean(value.strip().encode()).decode()
        return fields

    def _responses(
        self, pieces: Sequence[bytes], stamps: Sequence[int], *, whole: bool
    ) -> list[Arrived]:
        kept = self._masked(pieces if whole else _beginning(pieces))
        try:
            texts = _texts(kept, whole=whole)
        except UnicodeDecodeError:
            return [
                Arrived(stamp, base64=base64.b64encode(piece).decode())
                for piece, stamp in zip(kept, stamps, strict=False)
            ]
        return [Arrived(stamp, text) for text, stamp in zip(texts, stamps, strict=False)]

    def _masked(self, pieces: Sequence[bytes]) -> Sequence[bytes]:
        """Return the pieces with secrets starred out, also one that lies in two of them."""
        body = b"".join(pieces)
        found = [secret for secret in self._secrets if secret in body]
        if not found:
            return pieces
        for secret in found:
            body = body.replace(secret, b"*" * len(secret))
        starts = accumulate(map(len, pieces), initial=0)
        return [body[at : at + len(piece)] for at, piece in zip(starts, pieces, strict=False)]

    def _error(self, said: Said) -> RawError | None:
        if said.error == ErrorKind.NONE:
            return None
        text = self._clean(said.error_text.encode()).decode()
        return RawError(said.error.name.lower(), text)

    def _clean(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, HIDDEN.encode())
        return data


def _or_none(value: int) -> int | None:
    return None if value == MISSING else value


def _beginning(pieces: Sequence[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    room = BODY_BYTES_MAX
    for piece in pieces:
        kept.append(piece[:room])
        room -= len(kept[-1])
        if not room:
            break
    return kept


def _texts(pieces: Sequence[bytes], *, whole: bool) -> list[str]:
    """Decode each piece; a character that two pieces share belongs to the second.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    texts = [decoder.decode(piece) for piece in pieces]
    if whole:
        decoder.decode(b"", final=True)
    return texts
