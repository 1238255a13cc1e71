"""Results as plain rows, and as the tables of three libraries where these are installed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib import import_module
from typing import Any

from steelyard.domain.track.values import number_document
from steelyard.kernel.errors import PluginError


class Table(Sequence[dict[str, Any]]):
    """Rows by column name, in order; a structure in a row (`params`) is a dict.

    Args:
        columns: their names.
        rows: a value for each column.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.columns = tuple(columns)
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Table(self.columns, self._rows[index])
        return dict(zip(self.columns, self._rows[index], strict=True))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self._rows)

    def __repr__(self) -> str:
        """Such as `<Table of 3 rows: run_id, name>`."""
        return f"<Table of {len(self)} rows: {', '.join(self.columns)}>"

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a dict per row."""
        return list(self)

    def flat(self) -> list[dict[str, Any]]:
        """Return a dict per row, structures spread: `params.lr`. Every row has every column."""
        rows = [_flat(row) for row in self]
        names: dict[str, None] = {}
        for row in rows:
            names.update(dict.fromkeys(row))
        return [{name: row.get(name) for name in names} for row in rows]

    def documents(self) -> list[dict[str, Any]]:
        """Return a dict per row as JSON can hold it: times as text, NaN and infinities marked."""
        return [{key: json_value(value) for key, value in row.items()} for row in self]

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame of `flat()`.

        Raises:
            PluginError: pandas is not installed.
        """
        return library("pandas").DataFrame(self.flat())

    def to_polars(self) -> Any:
        """Return a polars DataFrame of `flat()`.

        Raises:
            PluginError: polars is not installed.
        """
        return library("polars").DataFrame(self.flat(), infer_schema_length=None, strict=False)

    def to_arrow(self) -> Any:
        """Return a pyarrow Table of `flat()`.

        Raises:
            PluginError: pyarrow is not installed.
        """
        return library("pyarrow", "arrow").Table.from_pylist(self.flat())


def distinct(names: Sequence[str]) -> list[str]:
    """Return the names of columns, a repeated one with a number: `name`, `name_2`."""
    found: list[str] = []
    for name in names:
        number, chosen = 1, name
        while chosen in found or (number > 1 and chosen in names):
            number += 1
            chosen = f"{name}_{number}"
        found.append(chosen)
    return found


def library(name: str, extra: str = "") -> Any:
    """Return the module `name`.

    Raises:
        PluginError: it is not installed; the message names the extra that brings it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise PluginError(
            f"{name} is not installed",
            expected="the library whose tables are asked for",
            next_step=f"pip install 'steelyard[{extra or name}]', or take to_rows().",
        ) from error


def json_value(value: Any) -> Any:
    """Return `value` as JSON can hold it."""
    if isinstance(value, float):
        return number_document(value)
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime):  # the index has UTC, without saying so
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    return str(value)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": item for name, item in value.items()})
        else:
            flat[key] = value
    return flat
