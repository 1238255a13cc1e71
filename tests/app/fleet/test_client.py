"""A client whose service is not there, or that is given what can't be sent."""

import datetime as dt
import socket

import pytest

from steelyard.app.fleet.client import Client
from steelyard.kernel.errors import EXIT_UNREACHABLE, UsageError
from steelyard.runtime.fleet.service_http import ServiceUnreachableError

pytestmark = pytest.mark.network


def test_events_of_a_service_that_is_not_there_are_told_as_any_request(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with (
        Client(url, "sty_x", directory=tmp_path) as client,
        pytest.raises(ServiceUnreachableError, match="No fleet answers at .* refused") as caught,
    ):
        next(client.events())
    assert caught.value.exit_code == EXIT_UNREACHABLE


@pytest.mark.parametrize("odd", [dt.date(2026, 1, 1), float("nan"), {1, 2}, b"x"])
def test_what_json_can_not_say_is_refused_before_anybody_is_asked(tmp_path, odd):
    with (
        Client("http://127.0.0.1:9", "sty_x", directory=tmp_path) as client,
        pytest.raises(UsageError, match="can't be said in JSON"),
    ):
        client.submit({"kind": "command", "payload": {"argv": ["true"], "at": odd}})
