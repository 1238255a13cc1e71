"""Every route refuses whom it should; the table of routes makes the tests."""

import json
import re

import pytest
from fastapi.routing import APIRoute
from fleet_service import FleetService
from starlette.routing import WebSocketRoute

from steelyard.domain.fleet.access import FLEET_WIDE, ROLE_PERMISSIONS, Permission, Role
from steelyard.fleet import Coordinator, FleetSettings
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.audit_log import AuditLog
from steelyard.runtime.fleet.key_store import KeyStore
from steelyard.runtime.fleet.ledger_database import Database
from steelyard.runtime.fleet.ledger_url import ledger_url_for
from steelyard.web.app import create_app, openapi
from steelyard.web.guard import OPEN_PATHS
from steelyard.web.routes import GuardedRoute, allows, router

pytestmark = pytest.mark.network
MALFORMED = [
    "sty_", "Bearer", "sty_" + "a" * 12 + "_" + "b" * 43, "x" * 20_000, "null", "é",
    "sty_" + "a" * 12 + "_' OR 1=1 --" + "b" * 32,
]  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    place = tmp_path_factory.mktemp("app")
    database = Database(ledger_url_for(place / "keys.sqlite"), SystemClock())
    audit = AuditLog(place / "audit.jsonl")
    settings = FleetSettings(ledger=str(place / "ledger.sqlite"), directory=str(place))
    yield create_app(Coordinator(settings), KeyStore(database, SystemClock()), audit)
    audit.close()
    database.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = FleetService(tmp_path_factory.mktemp("service"), "--no-local", "--rate", "10000")
    yield service
    service.stop()


@pytest.fixture(scope="module")
def keys(service):
    return {role: service.key_of(str(role), str(role)) for role in Role}


def table(app):
    """Return (method, path with its parameters filled in, permission) of every HTTP route."""
    return [
        (method, re.sub(r"\{[^}]*\}", "none", route.path), route.permission)
        for route in walk(app.routes)
        if isinstance(route, GuardedRoute)
        for method in sorted(route.methods)
    ]


def walk(routes):
    for route in routes:
        if hasattr(route, "path"):
            yield route
        else:  # FastAPI keeps included routers as they are
            original = getattr(route, "original_router", None)
            assert original is not None, route
            yield from walk(original.routes)


def test_every_route_is_a_guarded_one_or_the_websocket(app):
    found = list(walk(app.routes))
    strangers = [r for r in found if not isinstance(r, GuardedRoute | WebSocketRoute)]
    assert strangers == []
    assert [r.path for r in found if isinstance(r, WebSocketRoute)] == ["/v1/events"]
    assert len(table(app)) >= 18


def test_only_the_health_is_open(app):
    assert {path for _, path, permission in table(app) if permission == "open"} == OPEN_PATHS
    assert {"/v1/health"} == OPEN_PATHS


def test_a_route_that_does_not_say_what_it_allows_can_not_be_made():
    with pytest.raises(TypeError, match="does not say what it allows"):
        router("x").add_api_route("/y", lambda: None)
    assert issubclass(GuardedRoute, APIRoute)
    assert allows(None)["openapi_extra"]["security"] == []


def test_strangers_and_malformed_keys_are_refused_on_every_route(app, service):
    for method, path, permission in table(app):
        if permission == "open":
            continue
        status, headers, body = service.request(method, path)
        assert status == 401, (method, path)
        assert headers["www-authenticate"].startswith("Bearer ")
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == 401


def test_a_key_of_no_shape_is_refused_whatever_it_is(service):
    for number, key in enumerate(MALFORMED):
        # No more than one may count as a guess: `FleetService` has one address for all tests.
        headers = {"Authorization": f"Bearer {key}".encode()}
        status, _, _ = service.request("GET", "/v1/tasks", headers=headers)
        assert status == 401, (number, status)
    for header in ("", "Basic YTpi", "Bearer", "bearer "):
        status, _, _ = service.request("GET", "/v1/tasks", headers={"Authorization": header})
        assert status == 401, header


def test_each_role_reaches_what_it_may_and_is_refused_the_rest(app, service, keys):
    wrong = []
    for role, key in keys.items():
        for method, path, permission in table(app):
            if permission == "open":
                continue
            status, _, body = service.request(method, path, key=key)
            may = Permission(permission) in ROLE_PERMISSIONS[role]
            refused = status == 403 and b"Your key does not allow" in body
            if may == refused or status in {401, 500}:
                wrong.append((role, method, path, permission, status))
    assert wrong == []


def test_a_key_for_some_projects_reaches_nothing_that_is_everybodys(app, service):
    narrowed = {role: service.key_of(str(role), f"some {role}", projects=["a"]) for role in Role}
    wrong = []
    for role, key in narrowed.items():
        for method, path, permission in table(app):
            if permission == "open" or permission not in ROLE_PERMISSIONS[role]:
                continue
            status, _, body = service.request(method, path, key=key)
            is_refused = status == 403 and b"is for all projects, and your key is for some" in body
            if is_refused != (Permission(permission) in FLEET_WIDE) or status in {401, 500}:
                wrong.append((role, method, path, permission, status))
    assert wrong == []
    status, headers, body = service.request("POST", "/v1/gc", key=narrowed[Role.ADMIN])
    problem = json.loads(body)
    assert (status, headers["content-type"]) == (403, "application/problem+json")
    assert (problem["got"], problem["expected"]) == ("a key for a", "a key that no project narrows")


def test_a_narrowed_key_loses_what_it_is_not_scoped_to(service):
    key = service.key_of("admin", "narrow", scopes=["tasks:read"])
    assert service.request("GET", "/v1/tasks", key=key)[0] == 200
    for path in ("/v1/workers", "/v1/keys", "/metrics", "/v1/tasks/none/logs"):
        assert service.request("GET", path, key=key)[0] == 403, path


def test_what_is_not_there_is_told_to_those_with_keys_only(service, keys):
    assert service.request("GET", "/v1/nowhere")[0] == 401
    status, headers, _ = service.request("GET", "/v1/nowhere", key=keys[Role.READER])
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert service.request("PUT", "/v1/tasks", key=keys[Role.READER])[0] == 405
    assert service.request("GET", "/docs")[0] == 401
    assert service.request("GET", "/openapi.json", key=keys[Role.ADMIN])[0] == 404


def test_the_document_names_each_route_and_every_component_it_refers_to(app):
    document = openapi(app)
    paths = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert len(paths) == len(table(app))
    text = json.dumps(document)
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert refs <= set(document["components"]["schemas"])
    operations = [each for item in document["paths"].values() for each in item.values()]
    assert all("security" in each for each in operations)


def test_the_document_tells_of_the_header_that_makes_tasks_part_of_a_trace(app):
    (header,) = openapi(app)["paths"]["/v1/tasks"]["post"]["parameters"]
    assert (header["name"], header["in"], header["required"]) == ("traceparent", "header", False)


def test_revoking_ends_a_key_at_once(service):
    with service.client() as client:
        made = client.create_key("short", "reader")
        assert service.request("GET", "/v1/tasks", key=made["token"])[0] == 200
        client.revoke_key(made["key"]["key_id"])
    assert service.request("GET", "/v1/tasks", key=made["token"])[0] == 401


def test_keys_are_listed_without_their_secrets(service, keys):
    _, _, body = service.request("GET", "/v1/keys", key=keys[Role.ADMIN])
    assert all(key not in body.decode() for key in keys.values())
    assert all(key[-43:] not in body.decode() for key in keys.values())


def test_the_audit_log_names_who_did_and_who_was_refused_and_no_secret(service, keys):
    service.request("POST", "/v1/tasks", key=keys[Role.READER], body=b"{}")
    service.request("GET", "/v1/keys?secret=1", headers={"Authorization": "Bearer guess"})
    text = (service.directory / "audit.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    last, guess = lines[-2:]
    assert (last["role"], last["method"], last["path"], last["status"]) == (
        "reader", "POST", "/v1/tasks", 403)  # fmt: skip
    assert (guess["key_id"], guess["path"], guess["status"]) == ("", "/v1/keys", 401)
    assert "guess" not in text
    assert all(key[-43:] not in text for key in keys.values())
