"""The columns that a journal says its records have; read without numpy."""

import re

Descr = tuple[tuple[str, str], ...]
MAX_COLUMNS = 1024

_COLUMN = re.compile(r"\|[iub]1|<[iu][248]|<f[248]")


def check_columns(descr: Descr) -> None:
    """Check columns that a file claims to have.

    Raises:
        ValueError: there are none or too many, or one is not a plain number.
    """
    if not 0 < len(descr) <= MAX_COLUMNS:
        message = f"a record has 1 to {MAX_COLUMNS} columns, got {len(descr)}"
        raise ValueError(message)
    for name, typestr in descr:
        if _COLUMN.fullmatch(typestr) is None:
            message = f"column {name!r} has the type {typestr!r}, which no record has"
            raise ValueError(message)
