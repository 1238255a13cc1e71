"""A text file of records, one a line, read as they are asked for; errors name file and line."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from steelyard.kernel.errors import UsageError

LINE_MAX_BYTES = 64 * 1024 * 1024
_MARK = b"\xef\xbb\xbf"
_SHOWN_MAX = 60

_Record = TypeVar("_Record")


class Line(NamedTuple):
    """A line that isn't blank: its number from 1, where it begins, its bytes."""

    number: int
    offset: int
    data: bytes


class LineFile:
    """The lines of a file that a user named.

    Args:
        path: the file.
        dataset: named in errors.

    Raises:
        UsageError: there is no such file.
    """

    def __init__(self, path: str | Path, dataset: str) -> None:
        self.path = Path(path).expanduser()
        if not str(path) or not self.path.is_file():
            raise UsageError(
                f"The dataset '{dataset}' has no file to read",
                got=str(path),
                expected="a JSONL file",
                next_step="Name it with --input-file.",
            )

    def lines(self, after: Line | None = None) -> Iterator[Line]:
        """Yield the lines that aren't blank, those that follow `after`.

        Raises:
            UsageError: the file can't be read, or a line is longer than `LINE_MAX_BYTES`.
        """
        number = after.number if after else 0
        offset = after.offset + len(after.data) if after else 0
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                while data := file.readline(LINE_MAX_BYTES + 1):
                    number += 1
                    if len(data) > LINE_MAX_BYTES:
                        raise self.wrong(number, f"over {LINE_MAX_BYTES} bytes", "less")
                    if not (data.removeprefix(_MARK) if number == 1 else data).isspace():
                        yield Line(number, offset, data)
                    offset += len(data)
        except OSError as problem:
            raise self._unreadable(problem) from problem

    def line_at(self, number: int, offset: int) -> Line:
        """Return a line again.

        Raises:
            UsageError: the file can't be read.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                return Line(number, offset, file.readline(LINE_MAX_BYTES))
        except OSError as problem:
            raise self._unreadable(problem) from problem

    def text(self, line: Line) -> str:
        """Return a line's text without its end.

        Raises:
            UsageError: it is not UTF-8.
        """
        try:
            return self._without_mark(line).decode().rstrip("\r\n")
        except UnicodeDecodeError as problem:
            raise self.wrong(line.number, f"bytes {problem.reason}", "UTF-8 text") from problem

    def record(self, line: Line, decoder: msgspec.json.Decoder[_Record], fields: str) -> _Record:
        """Return the record of a JSON line.

        Args:
            line: one of this file.
            decoder: of the record's type.
            fields: said to be expected when a field is wrong.

        Raises:
            UsageError: the line is no JSON, or not of the type.
        """
        try:
            return decoder.decode(self._without_mark(line))
        except msgspec.ValidationError as problem:
            raise self.wrong(line.number, str(problem), fields) from problem
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            shown = line.data[:_SHOWN_MAX].decode("utf-8", "replace").strip()
            raise self.wrong(line.number, f"{shown} ({problem})", "a JSON object") from problem

    def wrong(self, number: int, got: str, expected: str) -> UsageError:
        """Return the error to raise for a line."""
        return UsageError(f"{self.path}:{number} is no request", got=got, expected=expected)

    def empty(self) -> UsageError:
        """Return the error to raise when no line has a record."""
        return UsageError(f"{self.path} holds no request", expected="one JSON object a line")

    @staticmethod
    def _without_mark(line: Line) -> bytes:
        return line.data.removeprefix(_MARK) if line.number == 1 else line.data

    def _unreadable(self, problem: OSError) -> UsageError:
        return UsageError(f"Can't read {self.path}: {problem.strerror}")
