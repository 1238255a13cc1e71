"""Where a run listens for workers on other machines, and by which addresses they reach it."""

import socket
from collections.abc import Iterator

from steelyard.kernel.errors import UsageError

_PORT_MAX = 65_535


def split_address(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[IPv6]:PORT`; the port may have a default.

    Raises:
        UsageError: it is neither.
    """
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, "" if default_port is None else str(default_port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > _PORT_MAX:
        raise UsageError(
            "An address for workers can't be read",
            got=text,
            expected="HOST:PORT, such as 10.0.0.5:7000 or [fd00::5]:7000",
        )
    return host, int(port)


def tcp(host: str, port: int) -> str:
    """Return the address as ZeroMQ writes it."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def bind_address(listen: str) -> str:
    """Return what to bind for `HOST:PORT`; a name becomes the address it stands for here.

    Raises:
        UsageError: it can't be read, or the name stands for nothing.
    """
    host, port = split_address(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(
            f"The address to listen on for workers is not known: {error.strerror or error}",
            got=listen,
            expected="HOST:PORT of this machine",
        ) from error
    return tcp(str(found[0][4][0]), port)


def addresses_of(bound: str, advertise: str = "") -> tuple[str, ...]:
    """Return the addresses by which workers may reach what is bound, the likeliest first.

    Args:
        bound: as the socket says it, `tcp://ADDRESS:PORT`.
        advertise: `HOST` or `HOST:PORT` that a person named; it is the only one then.

    Raises:
        UsageError: `advertise` can't be read.
    """
    host, port = split_address(bound.removeprefix("tcp://"))
    if advertise:
        return (tcp(*split_address(advertise, port)),)
    if host not in ("0.0.0.0", "::"):  # noqa: S104  a look at what somebody asked for
        return (tcp(host, port),)
    families = (socket.AF_INET,) if host != "::" else (socket.AF_INET, socket.AF_INET6)
    return tuple(tcp(address, port) for address in _own_addresses(families))


def _own_addresses(families: tuple[socket.AddressFamily, ...]) -> Iterator[str]:
    """Yield this machine's addresses, those of the machine alone last."""
    import psutil  # only a run that listens everywhere needs it

    found = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families and "%" not in entry.address
    ]
    return iter(sorted(found, key=lambda address: address.startswith(("127.", "::1"))))


def local_address_towards(host: str, port: int) -> str:
    """Return `HOST:0` with this machine's address on the way to another one; nothing is sent.

    Raises:
        UsageError: the name is not known, or no way leads there.
    """
    try:
        ((family, _, _, _, address), *_) = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            own = str(sock.getsockname()[0])
    except OSError as error:
        raise UsageError(
            f"No way leads to the cluster's head: {error.strerror or error}",
            got=f"{host}:{port}",
            expected="an address that this machine reaches",
            next_step="Check --ray-address; --listen says where workers reach this machine.",
        ) from error
    return f"[{own}]:0" if ":" in own else f"{own}:0"


def first_open(addresses: tuple[str, ...], timeout_s: float) -> str | None:
    """Return the first address at which something takes a connection; None when nothing does."""
    for address in addresses:
        host, port = split_address(address.removeprefix("tcp://"))
        try:
            with socket.create_connection((host, port), timeout_s):
                return address
        except OSError:
            continue
    return None
