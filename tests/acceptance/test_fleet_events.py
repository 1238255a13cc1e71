"""Events of a served fleet as a browser and as a narrowed key follow them, by a real client."""

import json
import subprocess

import pytest
from fleet_service import STEELYARD, FleetService, command, wait_for
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.sync.client import connect

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.timeout(300)]
BOARD = "https://board.example"
ENDS = {"task_completed", "task_failed", "task_cancelled"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    flags = ("--slots", "2", "--drain-s", "0", "--allow-origin", BOARD)
    with FleetService(tmp_path_factory.mktemp("events"), *flags) as service:
        yield service


def socket_url(service, query="after=0"):
    return f"{service.url.replace('http', 'ws', 1)}/v1/events?{query}"


def as_browser(service, protocols, origin=None, **headers):
    """Open a WebSocket as a page does: no header of its own but what the browser sets."""
    return connect(
        socket_url(service), subprotocols=protocols, origin=origin or service.url, proxy=None,
        additional_headers=headers, open_timeout=60,
    )  # fmt: skip


def refused(service, protocols, **how):
    with pytest.raises(InvalidStatus) as caught:
        as_browser(service, protocols, **how)
    return caught.value.response.status_code


def test_a_page_follows_events_with_a_ticket_that_is_good_once(service, client):
    (task,) = client.submit(command("true"))
    client.wait(task["task_id"])
    ticket = client.event_ticket()["protocols"]
    assert service.key not in str(ticket)
    with as_browser(service, ticket) as socket:
        assert socket.subprotocol == ticket[0]  # and not the ticket
        assert "steelyard.ticket" not in str(socket.response.headers)
        names = [json.loads(socket.recv(60))["name"] for _ in range(2)]
    assert names[0] == "coordinator_startup"
    assert refused(service, ticket) == 401
    with as_browser(service, client.event_ticket()["protocols"], origin=BOARD):
        pass


def test_strangers_and_their_pages_are_refused(service, client):
    assert refused(service, None) == 401
    assert refused(service, ["steelyard.events"]) == 401
    assert refused(service, ["steelyard.events", "steelyard.ticket."]) == 401
    assert refused(service, ["steelyard.events", "steelyard.ticket.made-up"]) == 401
    good = client.event_ticket()["protocols"]
    assert refused(service, good[1:]) == 401  # the browser would get no answer to its offer
    assert refused(service, good, origin="https://evil.example") == 403
    bearer = {"Authorization": f"Bearer {service.key}"}
    assert refused(service, None, origin="https://evil.example", **bearer) == 403
    with as_browser(service, good):  # none of these used it up
        pass
    status, _, _ = service.request("POST", "/v1/events/tickets")
    assert status == 401
    worker = service.key_of("worker", "w")
    assert service.request("POST", "/v1/events/tickets", key=worker)[0] == 403


def test_a_ticket_ends_with_its_key_and_no_key_is_taken_from_the_url(service, client):
    made = client.create_key("page", "reader")
    with service.client(made["token"]) as page:
        ticket = page.event_ticket()["protocols"]
    client.revoke_key(made["key"]["key_id"])
    assert refused(service, ticket) == 401
    for query in (f"key={service.key}", f"ticket={service.key}", f"access_token={service.key}"):
        with pytest.raises(InvalidHandshake):
            connect(socket_url(service, query), proxy=None, open_timeout=60)
    audit = (service.directory / "audit.jsonl").read_text()
    assert "/v1/events/tickets" in audit
    assert "steelyard.ticket" not in audit


def test_a_key_for_one_project_sees_its_own_events_live_and_past(service, client):
    """Over WebSocket and REST, of two projects that run beside each other."""
    key = service.key_of("reader", "ann", projects=["a"])
    script = "echo {p}-secret >&2; exit 1"
    with service.client(key) as ann:
        _, begin = ann.past_events(0, limit=1_000)
        with connect(
            socket_url(service, f"after={begin}"), proxy=None, open_timeout=60,
            additional_headers={"Authorization": f"Bearer {key}"},
        ) as socket:  # fmt: skip
            tasks = [
                command(
                    "sh", "-c", script.format(p=project), project=project, task_id=f"{project}1"
                )
                for project in ("b", "a")
            ]
            client.submit(tasks)
            client.wait("a1", "b1")
            live = []
            while not live or live[-1]["name"] not in ENDS:
                live.append(json.loads(socket.recv(60)))
        past, place = ann.past_events(begin, limit=1_000)
        whole, end = client.past_events(begin, limit=1_000)
        assert ann.past_events(0, task_id="b1")[0] == ()
    assert {e["arguments"]["task_id"] for e in live} == {"a1"}
    assert [e for e in past if e["name"] in ENDS][-1] == live[-1]
    assert "b-secret" not in json.dumps([live, list(past)])
    assert "b-secret" in json.dumps(list(whole))
    assert place == end
    assert [e["name"] for e in live] == [
        "task_created", "task_assigned", "task_started", "task_failed",
    ]  # fmt: skip


def test_workers_are_seen_by_all_and_leases_by_their_project(service, client):
    (task,) = client.submit(command("sleep", "600", project="b"))
    wait_for(lambda: client.task(task["task_id"])["state"] == "running")
    with service.client(service.key_of("reader", "bea", projects=["a"])) as bea:
        (worker,) = bea.workers()
    client.cancel(task["task_id"])
    assert list(worker["holds"].values()) == [""]


def test_what_a_scheduler_measures_of_others_is_for_keys_without_bounds(service, client):
    (task,) = client.submit(command("true", project="confidential"))
    client.wait(task["task_id"])
    narrow = service.key_of("reader", "cid", projects=["a"])
    for path in ("/metrics", "/v1/metrics"):
        assert b"confidential" in service.request("GET", path, key=service.key)[2]
        status, _, body = service.request("GET", path, key=narrow)
        assert status == 200
        assert b"events" in body
        assert b"confidential" not in body


def test_an_origin_that_is_none_is_told_before_anything_begins(tmp_path):
    words = [*STEELYARD, "fleet", "serve", "--dir", str(tmp_path / "fleet"), "--allow-origin", "*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 2
    assert "no origin" in done.stderr
    assert not (tmp_path / "fleet").exists()
