"""What is found out before a run begins."""

import socket

import pytest

from steelyard.app.preflight import require_reachable
from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.errors import EndpointUnreachableError


def test_a_server_that_speaks_no_tls_is_said_to_give_no_handshake_in_time():
    """In words of ours, where the standard library names a line of its C source."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        plan = EndpointPlan(urls=(url,), connect_timeout_s=0.05, insecure=True)
        with pytest.raises(EndpointUnreachableError, match=r"no TLS handshake within 0\.05 s") as e:
            require_reachable([parse_target(url)], plan)
    assert "_ssl.c" not in str(e.value)
