"""Where a run listens for workers, and what it tells them."""

import socket

import pytest

from steelyard.kernel.errors import UsageError
from steelyard.runtime.join_address import addresses_of, bind_address, first_open, split_address


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.5:7000", ("10.0.0.5", 7000)),
        ("box:0", ("box", 0)),
        ("[fd00::5]:7000", ("fd00::5", 7000)),
    ],
)
def test_an_address_is_a_host_and_a_port(text, found):
    """IPv6 stands in brackets, as in URLs."""
    assert split_address(text) == found


@pytest.mark.parametrize(
    "text", ["", "box", ":7000", "box:", "box:x", "box:70000", "fd00::5", "b:²"]
)
def test_what_is_none_is_refused(text):
    """The error says what one looks like."""
    with pytest.raises(UsageError, match=r"HOST:PORT"):
        split_address(text)


def test_the_port_may_be_left_to_the_one_that_is_bound():
    """For what is advertised: a host alone is enough."""
    assert split_address("balancer", 7000) == ("balancer", 7000)
    assert split_address("fd00::5", 7000) == ("fd00::5", 7000)
    assert addresses_of("tcp://0.0.0.0:7000", "balancer") == ("tcp://balancer:7000",)
    assert addresses_of("tcp://0.0.0.0:7000", "[fd00::5]:80") == ("tcp://[fd00::5]:80",)


def test_a_name_is_bound_by_the_address_that_it_stands_for():
    """ZeroMQ binds addresses only."""
    assert bind_address("127.0.0.1:7000") == "tcp://127.0.0.1:7000"
    assert bind_address("localhost:0").startswith("tcp://")
    with pytest.raises(UsageError, match="not known"):
        bind_address("no-such-name.invalid:7000")


def test_what_is_bound_everywhere_is_told_by_each_address_loopback_last():
    """A worker on this machine finds it too."""
    found = addresses_of("tcp://0.0.0.0:7000")
    assert found[-1] == "tcp://127.0.0.1:7000"
    assert "0.0.0.0" not in " ".join(found)
    assert addresses_of("tcp://127.0.0.1:5") == ("tcp://127.0.0.1:5",)


def test_the_first_address_that_answers_is_used():
    """Others are passed over within the time given."""
    with socket.create_server(("127.0.0.1", 0)) as there, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        dead = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        alive = f"tcp://127.0.0.1:{there.getsockname()[1]}"
        assert first_open((dead, alive), 60.0) == alive
        assert first_open((dead,), 1.0) is None
