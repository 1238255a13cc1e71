"""What a run with workers on other machines needs: who places them, secrets for them, news."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from steelyard.app.placing import listen_of, placement_of
from steelyard.domain.bench.headers import variables_in
from steelyard.domain.bench.join_messages import HostIdentity
from steelyard.domain.bench.plan import Plan, RemotePlan
from steelyard.domain.bench.story import WORKER_JOINED
from steelyard.kernel.errors import UsageError
from steelyard.runtime.hidden import forget_variable
from steelyard.runtime.join import JOIN_VARIABLE, Join
from steelyard.runtime.journal import JournalWriter
from steelyard.runtime.remote_seats import RemoteSpec

NOT_THERE = ("raw",)
"""Export levels whose files a worker writes beside the run's own: another machine has none."""


class RemoteSetup:
    """The remote side of one run.

    Args:
        plan: of the run, with `remote`.
        note: shows a person a line.

    Raises:
        UsageError: the plan asks for what workers elsewhere can't give.
        SteelyardError: the run type's own: see `placement_of`.
    """

    def __init__(self, plan: Plan, note: Callable[[str], None]) -> None:
        given = plan.remote or RemotePlan()
        placement = placement_of(plan, note)
        if placement is None:
            raise UsageError("This run type has no workers elsewhere", got=plan.run_type)
        _require_possible(plan)
        self._note = note
        self._join_file = given.join_file
        self._journal: JournalWriter | None = None
        self._workers = plan.workers
        self._come = 0
        self.spec = RemoteSpec(
            run_id=plan.run_id,
            placement=placement,
            listen=listen_of(plan, os.environ),
            advertise=given.advertise,
            join_file=Path(given.join_file) if given.join_file else None,
            timeout_s=given.join_timeout_s,
            secrets=secrets_of(plan, os.environ),
            prepared=_prepared(plan, os.environ),
            on_open=self._opened,
            on_joined=self._joined,
        )

    @property
    def worker_ids(self) -> tuple[str, ...]:
        """The ids of the workers, where somebody knows them already."""
        return self.spec.prepared.service_ids if self.spec.prepared is not None else ()

    def tell(self, journal: JournalWriter) -> None:
        """Write down who joins from now on."""
        self._journal = journal

    def _opened(self, join: Join) -> None:
        at = ", ".join(join.addresses)
        noun = "worker" if self._workers == 1 else "workers"
        text = f"waiting for {self._workers} {noun} at {at}"
        if self._join_file:
            text += f": steelyard worker --join-file {self._join_file} --index 0"
            text += f" to {self._workers - 1}" if self._workers > 1 else ""
        self._note(text)

    def _joined(self, index: int, service_id: str, host: HostIdentity) -> None:
        self._come += 1
        self._note(f"worker {index} joins from {host.name} ({self._come} of {self._workers})")
        if self._journal is not None:
            payload = {"worker": index, "service_id": service_id, **msgspec.to_builtins(host)}
            self._journal.event(WORKER_JOINED, payload)


def _prepared(plan: Plan, environ: Mapping[str, str]) -> Join | None:
    """Return the join that was made before the run, where somebody had to know it earlier."""
    if not environ.get(JOIN_VARIABLE):
        return None
    join = Join.decode(environ[JOIN_VARIABLE])
    if not join.server_secret or len(join.service_ids) != plan.workers:
        raise UsageError(
            f"{JOIN_VARIABLE} is no join for this run to begin with",
            got=f"one for {len(join.service_ids)} workers"
            + ("" if join.server_secret else ", as workers get it"),
            expected=f"one that was prepared for {plan.workers} workers",
            next_step=f"Unset {JOIN_VARIABLE}: the run makes a join of its own.",
        )
    forget_variable(JOIN_VARIABLE)  # it is nothing for the roles that are forked, nor for others
    return join


def secrets_of(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the variables that the plan names, as far as they are set."""
    names = [name for _, value in plan.endpoint.headers for name in variables_in(value)]
    names.append(plan.endpoint.api_key_env)
    return {name: environ[name] for name in names if name in environ}


def _require_possible(plan: Plan) -> None:
    if plan.export_level in NOT_THERE:
        raise UsageError(
            f"--export-level {plan.export_level} needs workers on this machine: requests and "
            "responses are written beside the run, as they are too large to send",
            got=f"--run-type {plan.run_type}",
            expected="--export-level summary or records",
            next_step="Use --run-type process for it.",
        )
    if plan.options.get("embedded_mock"):
        raise UsageError(
            "The simulated server that comes with a run listens on this machine only",
            got=f"--run-type {plan.run_type} without --url",
            expected="--url of a server that the workers' machines reach",
        )
