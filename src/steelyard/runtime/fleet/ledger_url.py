"""Where a ledger lies: paths and URLs, and how they are shown without their secrets."""

from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from steelyard.kernel.errors import UsageError

QUERY_FACE_SUFFIX = ".duckdb"
LEDGER_SUFFIX = ".ledger.sqlite"
_POSTGRES = {"postgres", "postgresql", "postgresql+psycopg"}


def ledger_url_for(db_path: str | Path) -> str:
    """Return the URL of the ledger that belongs to a `db_path`.

    A path that ends in `.duckdb` names the face for queries: its ledger lies beside it. Any other
    path is the ledger's own, a SQLite file. A URL stays what it is.

    Raises:
        UsageError: it is empty, or no database that a ledger can be in.
    """
    text = str(db_path)
    if "://" in text:
        return parse_url(text).render_as_string(hide_password=False)
    if not text.strip() or text == ":memory:":
        raise UsageError(
            "A ledger must outlive its coordinator",
            got=text,
            expected="the path of a file, or a URL postgresql://user@host/database",
        )
    path = Path(text).expanduser().absolute()
    if path.suffix == QUERY_FACE_SUFFIX:
        path = path.with_suffix(LEDGER_SUFFIX)
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def parse_url(text: str) -> URL:
    """Return a URL with the driver we use.

    Raises:
        UsageError: it is none, or of another database; the error does not repeat it.
    """
    expected = "postgresql://user@host/database, or sqlite:////path/of/file"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError("The ledger's URL can't be read", expected=expected) from None
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    is_file = url.database not in {None, "", ":memory:"}
    if is_file and url.drivername in {"sqlite", "sqlite+pysqlite"}:
        return url.set(drivername="sqlite")
    raise UsageError(
        "A ledger is in SQLite or PostgreSQL",
        got=f"a URL of {url.drivername}",
        expected=expected,
    )


def shown_url(url: URL) -> str:
    """Return what may be shown of a URL: host, port and database; a file's path."""
    if url.drivername == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host", "")
    place = f"{host}:{url.port}" if url.port else str(host)
    return f"postgresql://{place}/{url.database or ''}"


def without_secrets(message: str, url: URL) -> str:
    """Return a database's message on one line, without what of its URL is secret."""
    secrets = [url.password, *(str(v) for k, v in url.query.items() if "password" in k)]
    line = " ".join(message.split())
    for secret in secrets:
        if secret:
            line = line.replace(str(secret), "***")
    return line
