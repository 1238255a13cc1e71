"""Where a WebSocket begins, and how many there may be."""

import contextlib
import functools

import pytest
from fleet_service import FleetService, wait_for
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from steelyard.domain.fleet.access import AccessKey, Role
from steelyard.kernel.errors import UsageError
from steelyard.web.events import CLIENTS_OF_KEY_MAX, _refusal
from steelyard.web.models import INTEGER_MAX

KEY = AccessKey(key_id="a" * 12, name="a", role=Role.READER)


@pytest.mark.parametrize(
    "place", ["x", "-1", "1.0", "²", str(INTEGER_MAX + 1), "0" * 30 + "9" * 5_000, "0" * 30 + "9"]
)
def test_what_is_no_events_number_is_refused_and_never_read(place):
    assert _refusal(KEY, place) == "after is the number of an event"


@pytest.mark.parametrize("task_id", ["a\0b", "a\nb", "t" * 201])
def test_what_no_task_is_called_is_never_looked_for(task_id):
    assert _refusal(KEY, "", task_id) == "task_id is the id of a task"


@pytest.mark.network
def test_what_a_client_says_is_passed_over_whatever_it_is(service):
    key = {"Authorization": f"Bearer {service.key}"}
    url = service.url.replace("http", "ws", 1) + "/v1/events?after=0"
    with connect(url, proxy=None, additional_headers=key) as socket:
        socket.send(b"\x00\xff")
        socket.send("words")
        assert "coordinator_startup" in socket.recv(60)
        assert socket.ping().wait(60)
        assert socket.protocol.close_code is None


def test_each_number_of_an_event_is_taken():
    assert [_refusal(KEY, place) for place in ("", "0", "17", str(INTEGER_MAX))] == [""] * 4


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = FleetService(tmp_path_factory.mktemp("service"), "--no-local")
    yield service
    service.stop()


@pytest.mark.network
@pytest.mark.parametrize("legacy", [None, False])
def test_our_client_follows_by_the_websockets_of_today_and_of_later(service, monkeypatch, legacy):
    later = functools.partial(connect, legacy=legacy)  # False: nothing is connected before `with`
    monkeypatch.setattr("websockets.sync.client.connect", later)
    with service.client() as client, contextlib.closing(client.events(0)) as told:
        assert next(told)["name"] == "coordinator_startup"
    with (
        service.client("sty_wrong") as stranger,
        pytest.raises(UsageError, match="refused to tell events: 401"),
    ):
        next(stranger.events())


@pytest.mark.network
def test_no_key_keeps_all_others_from_following_events(service):
    url = service.url.replace("http", "ws", 1) + "/v1/events"

    def follow(key):
        return connect(url, proxy=None, additional_headers={"Authorization": f"Bearer {key}"})

    def refusal(key):
        try:
            with follow(key):
                return None
        except InvalidStatus as error:
            return error.response.status_code

    greedy = service.key_of("reader", "greedy")
    with contextlib.ExitStack() as held:
        for _ in range(CLIENTS_OF_KEY_MAX - 1):
            held.enter_context(follow(greedy))
        with follow(greedy):
            assert refusal(greedy) == 429
            assert refusal(service.key) is None
        wait_for(lambda: refusal(greedy) is None)
