"""The URLs a person types."""

import pytest

from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.errors import UsageError


@pytest.mark.parametrize(
    ("url", "host", "port", "prefix"),
    [
        ("http://a:8000", "a", 8000, ""),
        ("a:8000", "a", 8000, ""),
        ("http://a", "a", 80, ""),
        ("https://a/v1/", "a", 443, "/v1"),
        ("http://[::1]:9/x", "::1", 9, "/x"),
    ],
)
def test_urls_with_and_without_scheme_port_and_prefix(
    url: str, host: str, port: int, prefix: str
) -> None:
    """What is left out has the scheme's default."""
    target = parse_target(url)
    assert (target.host, target.port, target.prefix) == (host, port, prefix)


def test_a_prefix_is_not_repeated() -> None:
    """`http://a/v1` and `/v1/chat/completions` meet at one `/v1`."""
    target = parse_target("http://a/v1")
    assert target.path("/v1/chat/completions") == "/v1/chat/completions"
    assert target.path("/health") == "/v1/health"


@pytest.mark.parametrize("url", ["unix:/run/x.sock", "unix:///run/x.sock"])
def test_unix_sockets(url: str) -> None:
    """One slash or three, as both are common."""
    assert parse_target(url).unix_path == "/run/x.sock"


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a:x", "unix:x", "http://u:p@a", ""])
def test_anything_else_is_refused_with_what_is_expected(url: str) -> None:
    """The message shows what was typed and the forms that work."""
    with pytest.raises(UsageError, match="expected http://HOST"):
        parse_target(url)
