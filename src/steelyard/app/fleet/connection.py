"""Where a fleet's service is and which key it takes: flags, then the environment, then a file.

`steelyard fleet serve` writes the file, readable by its owner only, so that commands in the same
directory need neither.
"""

import ipaddress
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from steelyard.kernel.errors import UsageError
from steelyard.runtime.files import write_private

URL_ENV = "STEELYARD_FLEET_URL"
KEY_ENV = "STEELYARD_FLEET_KEY"
CA_ENV = "STEELYARD_FLEET_CA"
CONNECTION_FILE = "client.json"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How a client reaches a service.

    Attributes:
        url: `http://` or `https://`, host, port.
        key: its token; never shown by `repr`.
        ca_file: certificates that an `https://` service is believed by, beside the system's.
    """

    url: str
    key: str = ""
    ca_file: str = ""

    def __repr__(self) -> str:
        """All but the key."""
        return f"Connection(url={self.url!r}, key={'***' if self.key else ''!r})"


def find_connection(
    directory: Path,
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    key: str | None = None,
    ca_file: str | None = None,
) -> Connection:
    """Return how the service is reached: each part from where it is said first.

    A key from the file is for the file's URL only, so no other server is shown it.

    Raises:
        UsageError: nothing says where it is, the URL can't be one, or others can read the file.
    """
    kept = read_connection(directory)
    found_url = url or environ.get(URL_ENV) or (kept.url if kept else "")
    if not found_url:
        raise UsageError(
            "No fleet is known here",
            got=f"no --url, no {URL_ENV}, no {directory / CONNECTION_FILE}",
            next_step="Start one with `steelyard fleet serve`, or name it with --url.",
        )
    found_url = _checked(found_url)
    is_kept = kept is not None and kept.url == found_url
    return Connection(
        url=found_url,
        key=key or environ.get(KEY_ENV) or (kept.key if kept and is_kept else ""),
        ca_file=ca_file or environ.get(CA_ENV) or (kept.ca_file if kept and is_kept else ""),
    )


def read_connection(directory: Path) -> Connection | None:
    """Return what a service wrote into its directory, None where none did.

    Raises:
        UsageError: others can read the file, or it is no such file.
    """
    path = directory / CONNECTION_FILE
    try:
        mode, data = path.stat().st_mode, path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"Can't read {path}: {error.strerror}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"Others can read the key in {path}",
            got=f"mode {stat.S_IMODE(mode):o}", expected="mode 600",
            next_step=f"Run: chmod 600 {path}; and revoke the key if somebody did.",
        )  # fmt: skip
    try:
        return msgspec.json.decode(data, type=Connection)
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{path} can't be read: {error}", next_step="Remove it, and start the service again."
        ) from None


def write_connection(directory: Path, connection: Connection) -> Path:
    """Keep how this service is reached, for its owner's commands; return where.

    Raises:
        FileError: it can't be written.
    """
    path = directory / CONNECTION_FILE
    # Not by the mask of this process: what is started meanwhile would have it for its whole life.
    write_private(path, msgspec.json.format(msgspec.json.encode(connection)) + b"\n")
    return path


def is_loopback(host: str) -> bool:
    """Tell whether an address reaches no other machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, which may stand for anything
        return False


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.username:
        raise UsageError(
            "The fleet's URL can't be used", got=url, expected="http://HOST:PORT or https://HOST"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
