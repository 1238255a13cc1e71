"""Servers under test, read from the URLs a person types."""

from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from steelyard.kernel.errors import UsageError

_PORTS = {"http": 80, "https": 443}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One server: where to connect, and what its requests say of it.

    Attributes:
        url: as it was given.
        host, port: of the TCP address; unused when `unix_path` is not empty.
        authority: the Host header.
        prefix: path of the base URL without a final slash; requests' paths go behind it.
        tls: speak TLS.
        unix_path: file of a Unix socket.
    """

    url: str
    host: str = ""
    port: int = 0
    authority: str = "localhost"
    prefix: str = ""
    tls: bool = False
    unix_path: str = ""

    def path(self, path: str) -> str:
        """Return the request path: the prefix is not repeated where `path` begins with it.

        The path `/` of an endpoint without one of its own means the URL as it is.
        """
        if path == "/" and self.prefix:
            return self.prefix
        if self.prefix and (path == self.prefix or path.startswith(self.prefix + "/")):
            return path
        return self.prefix + path


def parse_target(url: str) -> Target:
    """Read `http://host:port/prefix`, `https://...`, `host:port` or `unix:/path/to.sock`.

    Raises:
        UsageError: the URL is none of these.
    """
    if url.startswith("unix:"):
        path = unquote(url.removeprefix("unix:"))
        path = "/" + path.lstrip("/") if path.startswith("//") else path
        if not path.startswith("/"):
            raise _bad(url)
        return Target(url=url, unix_path=path)
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.query:
        raise _bad(url)
    return Target(
        url=url,
        host=parts.hostname,
        port=_port(parts, url),
        authority=parts.netloc,
        prefix=parts.path.rstrip("/"),
        tls=parts.scheme == "https",
    )


def _port(parts: SplitResult, url: str) -> int:
    try:
        return parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise _bad(url) from None


def _bad(url: str) -> UsageError:
    return UsageError(
        "The URL of the server can't be used",
        got=url,
        expected="http://HOST[:PORT][/PREFIX], https://..., or unix:/PATH/TO.sock",
    )
