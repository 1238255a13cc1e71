"""A Parquet file, row group by row group.

Source: Apache Parquet, "File Format" and `parquet.thrift`; data pages of version 1.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

import numpy as np

from steelyard.runtime.parquet import encodings, thrift

_MAGIC = b"PAR1"
_CREATED_BY = "steelyard"
_GZIP_WINDOW = 31  # zlib's number for its largest window behind a gzip header
_GZIP_LEVEL = 1
_PLAIN, _RLE, _DELTA, _DICTIONARY = 0, 3, 5, 8
_UNCOMPRESSED, _GZIP = 0, 2
_DATA_PAGE, _DICTIONARY_PAGE = 0, 2
_OPTIONAL = 1


class Kind(Enum):
    """What a column holds: Parquet's physical type, and its converted type where it has one."""

    BOOLEAN = (0, None)
    INT8 = (1, 15)
    INT16 = (1, 16)
    INT32 = (1, None)
    INT64 = (2, None)
    TEXT = (6, 0)


@dataclass(frozen=True)
class Numbers:
    """Integers or booleans; null where `present` is False."""

    values: np.ndarray
    present: np.ndarray


@dataclass(frozen=True)
class Names:
    """A text each by its number in `names`; null where there is none of that number."""

    codes: np.ndarray
    names: Sequence[str]


Values = Numbers | Names | Sequence[str | None]
"""What a column holds in one row group; in the last case a text or None for each row."""


@dataclass(frozen=True)
class _Page:
    data: bytes
    encoding: int
    dictionary: bytes | None = None
    entries: int = 0
    codec: int = _UNCOMPRESSED


class ParquetWriter:
    """Writes columns of numbers, names and texts; every column may hold nulls.

    Numbers are kept as differences, which needs no compression for stamps; texts are compressed.
    Memory is that of one column of one row group, and some 60 bytes for each column written.

    Args:
        file: is written from where it stands; its position there must be 0.
        columns: kinds by name, in order.
    """

    def __init__(self, file: BinaryIO, columns: Mapping[str, Kind]) -> None:
        self._file = file
        self._columns = dict(columns)
        self._groups: list[bytes] = []
        self._rows = 0
        self._place = file.write(_MAGIC)

    def write(self, columns: Mapping[str, Values]) -> None:
        """Append a row group; all columns have as many rows.

        Raises:
            ValueError: a column is missing, or has another number of rows.
            OSError: the file can't be written.
        """
        rows = {_rows_of(values) for values in columns.values()}
        if rows == {0}:
            return
        if len(rows) != 1 or columns.keys() != self._columns.keys():
            message = f"a row group needs the columns {list(self._columns)} with as many rows each"
            raise ValueError(message)
        (count,) = rows
        begun = self._place
        chunks = [self._chunk(name, columns[name], count) for name in self._columns]
        self._groups.append(
            thrift.struct(
                thrift.structs(1, chunks),
                thrift.i64(2, self._place - begun),
                thrift.i64(3, count),
            )
        )
        self._rows += count

    def close(self) -> None:
        """Write what the file holds and where; without it there is no file. Does not close `file`.

        Raises:
            OSError: the file can't be written.
        """
        leaves = [_leaf(name, kind) for name, kind in self._columns.items()]
        footer = thrift.struct(
            thrift.i32(1, 1),
            thrift.structs(2, [_root(len(leaves)), *leaves]),
            thrift.i64(3, self._rows),
            thrift.structs(4, self._groups),
            thrift.text(6, _CREATED_BY),
        )
        self._put(footer + len(footer).to_bytes(4, "little") + _MAGIC)

    def _put(self, data: bytes) -> int:
        """Write; return where it lies."""
        place = self._place
        self._file.write(data)
        self._place += len(data)
        return place

    def _chunk(self, name: str, values: Values, rows: int) -> bytes:
        kind = self._columns[name]
        page = _page(kind, values)
        begun = self._place
        raw = 0
        dictionary: int | None = None
        if page.dictionary is not None:
            described = [thrift.i32(1, page.entries), thrift.i32(2, _PLAIN)]
            head, body = _with_header(_DICTIONARY_PAGE, 7, described, page.dictionary)
            dictionary = self._put(head + body)
            raw += len(head) + len(page.dictionary)
        described = [thrift.i32(1, rows), thrift.i32(2, page.encoding)]
        described += [thrift.i32(3, _RLE), thrift.i32(4, _RLE)]  # how levels are encoded
        head, body = _with_header(_DATA_PAGE, 5, described, page.data, page.codec)
        data = self._put(head + body)
        raw += len(head) + len(page.data)
        described = [
            thrift.i32(1, kind.value[0]),
            thrift.numbers(2, sorted({_RLE, page.encoding, *([_PLAIN] if page.entries else [])})),
            thrift.texts(3, [name]),
            thrift.i32(4, page.codec),
            thrift.i64(5, rows),
            thrift.i64(6, raw),
            thrift.i64(7, self._place - begun),
            thrift.i64(9, data),
        ]
        if dictionary is not None:
            described.append(thrift.i64(11, dictionary))
        return thrift.struct(thrift.i64(2, begun), thrift.nested(3, thrift.struct(*described)))


def _rows_of(values: Values) -> int:
    if isinstance(values, Numbers):
        return int(values.values.size)
    return int(values.codes.size) if isinstance(values, Names) else len(values)


def _root(columns: int) -> bytes:
    return thrift.struct(thrift.text(4, "schema"), thrift.i32(5, columns))


def _leaf(name: str, kind: Kind) -> bytes:
    physical, converted = kind.value
    fields = [thrift.i32(1, physical), thrift.i32(3, _OPTIONAL), thrift.text(4, name)]
    if converted is not None:
        fields.append(thrift.i32(6, converted))
    return thrift.struct(*fields)


def _with_header(
    page_type: int,
    field: int,
    fields: Sequence[thrift.Field],
    data: bytes,
    codec: int = _UNCOMPRESSED,
) -> tuple[bytes, bytes]:
    body = data if codec == _UNCOMPRESSED else _zipped(data)
    head = thrift.struct(
        thrift.i32(1, page_type),
        thrift.i32(2, len(data)),
        thrift.i32(3, len(body)),
        thrift.nested(field, thrift.struct(*fields)),
    )
    return head, body


def _zipped(data: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(data) + packer.flush()


def _page(kind: Kind, values: Values) -> _Page:
    if isinstance(values, Numbers):
        return _numbers_page(kind, values)
    if isinstance(values, Names):
        return _names_page(values)
    texts = [value for value in values if value is not None]
    there = encodings.levels(np.fromiter((value is not None for value in values), bool))
    return _Page(there + encodings.plain_texts(texts), _PLAIN, codec=_GZIP)


def _numbers_page(kind: Kind, values: Numbers) -> _Page:
    there = encodings.levels(values.present)
    kept = values.values if values.present.all() else values.values[values.present]
    if kind is Kind.BOOLEAN:
        return _Page(there + encodings.plain_booleans(kept), _PLAIN)
    width = np.int64 if kind is Kind.INT64 else np.int32
    return _Page(there + encodings.deltas(np.ascontiguousarray(kept, width)), _DELTA)


def _names_page(values: Names) -> _Page:
    present = (values.codes >= 0) & (values.codes < len(values.names))
    there = encodings.levels(present)
    if not present.any():
        return _Page(there, _PLAIN)
    width = encodings.width_of(len(values.names))
    codes = encodings.runs(values.codes[present], width)
    return _Page(
        there + bytes([width]) + codes,
        _DICTIONARY,
        dictionary=encodings.plain_texts(values.names),
        entries=len(values.names),
    )
