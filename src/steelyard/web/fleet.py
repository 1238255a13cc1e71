"""/v1/workers, /v1/schedulers, /v1/keys, /v1/health, /v1/metrics: the fleet beside its tasks."""

import asyncio
import math
from typing import Any

import msgspec
from fastapi import Request, Response

from steelyard import __version__
from steelyard.app.fleet.errors import UnknownWorkerError
from steelyard.app.fleet.metrics import FleetMetrics, prometheus
from steelyard.app.fleet.parts import SchedulerInfo
from steelyard.domain.fleet.access import AccessKey, Permission
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.key_store import expiry_ns
from steelyard.web.answers import json_of
from steelyard.web.models import DrainIn, KeyIn, KeyMade, SchedulerIn, TidyIn, body_of
from steelyard.web.parts import Given, Key
from steelyard.web.problems import RequestError
from steelyard.web.routes import allows, listed, router

routes = router("fleet")
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_DAY_S = 86_400
_ANY = {"type": "object"}


@routes.get("/workers", **allows(Permission.WORKERS_READ, answer=listed("Worker")))
async def workers(given: Given, key: Key) -> Response:
    """List all workers there ever were, by id; what they hold of others' projects has no name."""
    return json_of({"items": await given.coordinator.workers(key.projects)})


@routes.post(
    "/workers/{worker_id}/drain", **allows(Permission.WORKERS_DRAIN, body="DrainIn", answer=_ANY)
)
async def drain(worker_id: str, request: Request, given: Given, key: Key) -> Response:
    """Have a worker finish what it has and take nothing more; `on` false takes that back."""
    body = await body_of(request, DrainIn)
    if not worker_id.isprintable():
        raise UnknownWorkerError("There is no such worker", got=worker_id[:100])
    if not key.may_drain(worker_id):
        raise RequestError(
            403, "Your key drains no other worker than its own", got=worker_id, expected=key.name
        )
    await given.coordinator.drain(worker_id, on=body.on)
    return json_of({"worker_id": worker_id, "draining": body.on})


@routes.get("/schedulers", **allows(Permission.SCHEDULERS_READ, answer=listed("SchedulerInfo")))
async def schedulers(given: Given, key: Key) -> Response:
    """List the schedulers there are; one is active."""
    return json_of({"items": _schedulers(given, key)})


@routes.post(
    "/schedulers",
    **allows(Permission.SCHEDULERS_SET, body="SchedulerIn", answer=listed("SchedulerInfo")),
)
async def use_scheduler(request: Request, given: Given, key: Key) -> Response:
    """Have another scheduler go on, at once."""
    body = await body_of(request, SchedulerIn)
    await given.coordinator.use_scheduler(body.name, body.options)
    return json_of({"items": _schedulers(given, key)})


def _schedulers(given: Given, key: Key) -> tuple[SchedulerInfo, ...]:
    """Return the schedulers; options may name users and projects, so not to keys for some."""
    found = given.coordinator.schedulers()
    if not key.projects:
        return found
    return tuple(msgspec.structs.replace(each, options={}) for each in found)


@routes.post("/gc", **allows(Permission.FLEET_TIDY, body="TidyIn", answer="Tidied"))
async def tidy(request: Request, given: Given) -> Response:
    """Remove what the coordinator's settings keep no longer; ask again until `done`."""
    body = await body_of(request, TidyIn)
    return json_of(await given.coordinator.tidy(dry_run=body.dry_run))


@routes.get("/keys", **allows(Permission.KEYS_MANAGE, answer=listed("AccessKey")))
async def keys(given: Given, key: Key) -> Response:
    """List keys, revoked ones too; never their secrets. A key for some projects sees theirs."""
    found = await asyncio.to_thread(given.keys.all_keys)
    return json_of({"items": [each for each in found if key.covers_projects(each)]})


@routes.post("/keys", **allows(Permission.KEYS_MANAGE, body="KeyIn", answer="KeyMade", status=201))
async def create_key(request: Request, given: Given, key: Key) -> Response:
    """Make a key; its token is in this answer and nowhere else.

    None may more than the key that makes it, nor is valid for longer.
    """
    body = await body_of(request, KeyIn)
    now_ns = given.clock.wall_ns()
    wanted = AccessKey(
        key_id="", name=body.name, role=body.role, scopes=body.scopes, projects=body.projects,
        expires_ns=expiry_ns(now_ns, body.days),
    )  # fmt: skip
    if not key.covers(wanted):
        raise RequestError(
            403, "Your key makes none that may more than itself",
            expected=f"of {', '.join(sorted(key.permissions))}"
            + (f"; only for {', '.join(key.projects)}" if key.projects else ""),
            next_step="Name scopes and projects of your own, or ask an admin for whom all are.",
        )  # fmt: skip
    if wanted.outlives(key):
        left = math.floor((key.expires_ns - now_ns) / NS_PER_S / _DAY_S * 1e4) / 1e4
        raise RequestError(
            403, "Your key makes none that outlives it",
            got=f"{body.days:g} days" if body.days else "a key for ever",
            expected=f"at most {left:g} days",
            next_step="Name fewer with --days, or ask an admin whose key lasts longer.",
        )  # fmt: skip
    made, token = await asyncio.to_thread(
        given.keys.create, body.name, body.role, user=body.user, scopes=body.scopes,
        projects=body.projects, days=body.days, ends_by_ns=key.expires_ns,
    )  # fmt: skip
    return json_of(KeyMade(key=made, token=token), 201)


@routes.delete("/keys/{key_id}", **allows(Permission.KEYS_MANAGE, answer="AccessKey"))
async def revoke_key(key_id: str, given: Given, key: Key) -> Response:
    """Have a key be refused from now on."""
    try:
        if key.projects:
            await asyncio.to_thread(_require_own, given, key, key_id)
        return json_of(await asyncio.to_thread(given.keys.revoke, key_id))
    except KeyError:
        raise RequestError(404, "There is no such key", got=key_id[:100]) from None


def _require_own(given: Given, key: Key, key_id: str) -> None:
    """Have a key of other projects be one that there is not.

    Raises:
        KeyError: it is one.
    """
    if not any(key.covers_projects(e) for e in given.keys.all_keys() if e.key_id == key_id):
        raise KeyError(key_id)


@routes.get("/health", **allows(None, answer=_ANY))
async def health() -> dict[str, Any]:
    """Tell that the service is there; all that strangers are told."""
    return {"status": "ok"}


@routes.get("/metrics", **allows(Permission.METRICS_READ, answer="FleetMetrics"))
async def metrics(given: Given, key: Key) -> Response:
    """Return what the coordinator measures of itself."""
    return json_of(_measured(given, key))


@routes.get("/version", **allows(Permission.METRICS_READ, answer=_ANY))
async def version(given: Given) -> dict[str, Any]:
    """Return the version, and who coordinates."""
    return {"version": __version__, "coordinator": given.coordinator.name,
            "leads": given.coordinator.leads}  # fmt: skip


async def prometheus_metrics(given: Given, key: Key) -> Response:
    """Return the metrics in Prometheus' text format."""
    return Response(prometheus(_measured(given, key)), media_type=PROMETHEUS)


def _measured(given: Given, key: Key) -> FleetMetrics:
    """Return the metrics; a scheduler's own name users and projects, so not to keys for some."""
    found = given.coordinator.metrics()
    return msgspec.structs.replace(found, scheduler_metrics={}) if key.projects else found
