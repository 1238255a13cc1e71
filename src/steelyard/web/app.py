"""The app: its routes behind the guard, its OpenAPI document, its errors as problems."""

from collections import Counter
from collections.abc import Collection
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from steelyard import __version__
from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.metrics import FleetMetrics
from steelyard.app.fleet.parts import SchedulerInfo
from steelyard.app.fleet.submitting import Submission
from steelyard.app.fleet.tidying import Tidied
from steelyard.domain.fleet.access import AccessKey, Permission
from steelyard.domain.fleet.model import Attempt, Task, Worker
from steelyard.domain.fleet.simulation.recording import Recording
from steelyard.kernel.clock import Clock
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.fleet.audit_log import AuditLog
from steelyard.runtime.fleet.key_store import KeyStore
from steelyard.runtime.fleet.ledger_queries import Told
from steelyard.runtime.fleet.ports import Decision
from steelyard.web import events, fleet, problems, tasks
from steelyard.web.answers import json_of
from steelyard.web.door import Door
from steelyard.web.guard import Bounds, Guard
from steelyard.web.models import (
    CancelIn,
    DrainIn,
    KeyIn,
    KeyMade,
    Logs,
    SchedulerIn,
    TasksIn,
    TidyIn,
)
from steelyard.web.parts import Parts
from steelyard.web.routes import GuardedRoute, allows
from steelyard.web.tickets import TicketMade, Tickets

_BODIES = (TasksIn, CancelIn, DrainIn, SchedulerIn, TidyIn, KeyIn)
_ANSWERS = (
    AccessKey, Attempt, Decision, FleetMetrics, KeyMade, Logs, problems.Problem, SchedulerInfo,
    Recording, Submission, Task, TicketMade, Tidied, Told, Worker,
)  # fmt: skip
_TEXT = {"description": "Prometheus' text format", "content": {"text/plain": {
    "schema": {"type": "string"}}}}  # fmt: skip


def create_app(
    coordinator: Coordinator,
    keys: KeyStore,
    audit: AuditLog,
    *,
    bounds: Bounds | None = None,
    clock: Clock | None = None,
    origins: Collection[str] = (),
) -> FastAPI:
    """Return the service of a coordinator that runs.

    Args:
        coordinator: what is asked and told.
        keys: who may.
        audit: is told who did, and who was refused.
        bounds: of a request.
        clock: for rates and the times of tasks.
        origins: of pages that may hold a WebSocket, beside those of the service's own.
    """
    app = FastAPI(
        title="Steelyard fleet", version=__version__, openapi_url=None, docs_url=None,
        redoc_url=None, redirect_slashes=False,
        description="Tasks, workers, schedulers and keys of a fleet. Every request but the one "
        "for health shows a key: `Authorization: Bearer sty_...`.",
    )  # fmt: skip
    clock = clock or SystemClock()
    tickets = Tickets(clock)
    app.state.parts = Parts(coordinator, keys, clock, tickets)
    app.state.event_clients = Counter()
    for routes in (tasks.routes, fleet.routes, events.routes, _other_routes()):
        app.include_router(routes)
    app.router.add_websocket_route("/v1/events", events.events)
    app.add_middleware(
        Guard, keys=keys, audit=audit, clock=clock, bounds=bounds or Bounds(),
        door=Door(tickets, keys, origins),
    )  # fmt: skip
    problems.install(app)
    return app


def _other_routes() -> APIRouter:
    """Return the routes that stand outside /v1 by custom, and the document itself."""
    routes = APIRouter(route_class=GuardedRoute, tags=["fleet"])
    options = allows(Permission.METRICS_READ)
    options["responses"] = {**options["responses"], 200: _TEXT}
    routes.add_api_route("/metrics", fleet.prometheus_metrics, methods=["GET"], **options)
    routes.add_api_route(
        "/v1/openapi.json", _document, methods=["GET"],
        **allows(Permission.TASKS_READ, answer={"type": "object"}),
    )  # fmt: skip
    return routes


async def _document(request: Request) -> Response:
    """Return this document."""
    return json_of(openapi(request.app))


def openapi(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an app: FastAPI's, with the fleet's own models."""
    document = app.openapi()
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schemas = components.setdefault("schemas", {})
    models = (*_BODIES, *_ANSWERS)
    _, found = msgspec.json.schema_components(models, ref_template="#/components/schemas/{name}")
    schemas.update(found)
    return document
