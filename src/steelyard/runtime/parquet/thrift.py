"""The part of Thrift's compact protocol that Parquet's metadata is written in.

Source: Apache Thrift, "Thrift Compact protocol encoding"; Apache Parquet, `parquet.thrift`.
"""

from collections.abc import Sequence

_I32, _I64, _BINARY, _LIST, _STRUCT = 5, 6, 8, 9, 12
_FIELDS_SHORT = 14
_ITEMS_SHORT = 14

Field = tuple[int, int, bytes]
"""Id, type and encoded value of a field."""


def varint(number: int) -> bytes:
    """Return a number of 0 or more in groups of 7 bits, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> bytes:
    """Return a signed number of up to 64 bits as a varint; small ones are short."""
    return varint(number * 2 if number >= 0 else -number * 2 - 1)


def i32(field: int, number: int) -> Field:
    """Return a field that holds a 32-bit number or an enum's."""
    return field, _I32, zigzag(number)


def i64(field: int, number: int) -> Field:
    """Return a field that holds a 64-bit number."""
    return field, _I64, zigzag(number)


def text(field: int, value: str) -> Field:
    """Return a field that holds a text."""
    return field, _BINARY, _sized(value)


def nested(field: int, value: bytes) -> Field:
    """Return a field that holds what `struct` returned."""
    return field, _STRUCT, value


def structs(field: int, values: Sequence[bytes]) -> Field:
    """Return a field that holds a list of structs."""
    return field, _LIST, _list(_STRUCT, values)


def numbers(field: int, values: Sequence[int]) -> Field:
    """Return a field that holds a list of enums."""
    return field, _LIST, _list(_I32, [zigzag(value) for value in values])


def texts(field: int, values: Sequence[str]) -> Field:
    """Return a field that holds a list of texts."""
    return field, _LIST, _list(_BINARY, [_sized(value) for value in values])


def struct(*fields: Field) -> bytes:
    """Return fields, in the order of their ids, as one value."""
    out = bytearray()
    last = 0
    for field, kind, value in fields:
        step = field - last
        short = 0 < step <= _FIELDS_SHORT
        out += bytes([step << 4 | kind]) if short else bytes([kind]) + zigzag(field)
        out += value
        last = field
    out.append(0)
    return bytes(out)


def _sized(value: str) -> bytes:
    data = value.encode()
    return varint(len(data)) + data


def _list(kind: int, items: Sequence[bytes]) -> bytes:
    count = len(items)
    short = count <= _ITEMS_SHORT
    head = bytes([count << 4 | kind]) if short else bytes([0xF0 | kind]) + varint(count)
    return head + b"".join(items)
