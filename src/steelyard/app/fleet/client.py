"""A fleet's service from Python: the verbs of `steelyard fleet`, each a method.

Needs no more than the standard library for requests; only `events` holds a WebSocket.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from steelyard.app.fleet.connection import Connection, find_connection
from steelyard.app.fleet.trace_context import parse
from steelyard.kernel.errors import UsageError
from steelyard.runtime.fleet.service_http import ServiceHttp, tls_context

ENDED = frozenset({"completed", "failed", "cancelled", "dead-letter"})
"""States in which nothing more happens to a task."""

DEFAULT_DIRECTORY = ".steelyard/fleet"
TRACE_ENV = "TRACEPARENT"
_POLL_S, _POLL_MAX_S = 0.05, 1.0


class Client:
    """Talks to one service. Use it in one thread, or make one for each.

    >>> from steelyard.fleet import Client
    >>> with Client("http://127.0.0.1:7600", key="sty_...") as fleet:  # doctest: +SKIP
    ...     (task,) = fleet.submit({"kind": "command", "payload": {"argv": ["/bin/true"]}})
    ...     fleet.wait(task["task_id"])["state"]
    'completed'

    Args:
        url: of the service; `STEELYARD_FLEET_URL`, or what `serve` wrote, without it.
        key: the token; `STEELYARD_FLEET_KEY`, or what `serve` wrote, without it.
        directory: where `serve` wrote it.
        ca_file: certificates that an `https://` service is believed by, beside the system's.
        timeout_s: of each wait for the network.

    Raises:
        UsageError: nothing says where the service is. Every method raises as
            `ServiceHttp.call` does.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        directory: str | Path = DEFAULT_DIRECTORY,
        ca_file: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self.connection: Connection = find_connection(
            Path(directory), os.environ, url=url, key=key, ca_file=ca_file
        )
        self._http = ServiceHttp(
            self.connection.url,
            self.connection.key,
            ca_file=self.connection.ca_file,
            timeout_s=timeout_s,
        )
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the connection."""
        self.close()

    def __repr__(self) -> str:
        """Where it talks to, without the key."""
        return f"Client({self.connection.url!r})"

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    # Tasks

    def submit(
        self, tasks: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> tuple[dict[str, Any], ...]:
        """Submit tasks together; return what became of each, `refusal` empty where it was taken.

        A task that its kind splits (a pytest suite into shards) comes back as several. `depends_on`
        names ids, or names of other tasks of the same call. Tasks go on in the trace that the
        variable TRACEPARENT names, unless they name another.
        """
        several = [dict(tasks)] if isinstance(tasks, Mapping) else [dict(task) for task in tasks]
        trace = parse(os.environ.get(TRACE_ENV, ""))
        if trace is not None:
            several = [{"traceparent": trace.header, **task} for task in several]
        return tuple(self._http.call("POST", "/v1/tasks", body={"tasks": several})["items"])

    def task(self, task_id: str) -> dict[str, Any]:
        """Return a task: `spec`, `state`, `outcome`, `reason`, and what else is known of it."""
        return dict(self._http.call("GET", _task(task_id)))

    def tasks(
        self, *, limit: int = 100, after: str = "", **wanted: Any
    ) -> tuple[tuple[dict[str, Any], ...], str]:
        """Return a page of tasks, the latest first, and what asks for the page after it.

        Args:
            limit: how many at most.
            after: the second value of the page before; empty for the first.
            wanted: `state` (one or several), `user`, `project`, `kind`, `worker_id`; `whole` for
                what tasks were given and their results too, which a list leaves out.
        """
        wanted = {name: _word(value) for name, value in wanted.items()}
        query = {"limit": limit, "after": after, **wanted}
        page = self._http.call("GET", "/v1/tasks", query=query)
        return tuple(page["items"]), page["next"]

    def cancel(self, task_id: str, reason: str = "") -> None:
        """End a task."""
        self._http.call("POST", _task(task_id, "cancel"), body={"reason": reason})

    def why(self, task_id: str) -> tuple[str, ...]:
        """Return why a task is where it is, a sentence each."""
        return tuple(self._http.call("GET", _task(task_id, "why"))["reasons"])

    def attempts(self, task_id: str) -> tuple[dict[str, Any], ...]:
        """Return a task's attempts, the first first."""
        return tuple(self._http.call("GET", _task(task_id, "attempts"))["items"])

    def decisions(self, task_id: str) -> tuple[dict[str, Any], ...]:
        """Return what schedulers proposed for a task, and what became of that."""
        return tuple(self._http.call("GET", _task(task_id, "decisions"))["items"])

    def wait(
        self, *task_ids: str, timeout_s: float | None = None
    ) -> dict[str, Any] | tuple[dict[str, Any], ...]:
        """Wait until tasks have ended; return them as `task` does, one or several as asked.

        Raises:
            TimeoutError: they have not ended in time.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        found = []
        for task_id in task_ids:
            pause_s = _POLL_S
            while (task := self.task(task_id))["state"] not in ENDED:
                if until is not None and time.monotonic() >= until:
                    message = f"task {task_id} is {task['state']}"
                    raise TimeoutError(message)
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, _POLL_MAX_S)
            found.append(task)
        return found[0] if len(found) == 1 else tuple(found)

    def logs(
        self, task_id: str, stream: str = "stdout", *, attempt: int = 0, follow: bool = False
    ) -> Iterator[str]:
        """Yield what an attempt wrote; with `follow`, go on until the task has ended.

        Args:
            task_id: whose.
            stream: `stdout` or `stderr`.
            follow: wait for more.
            attempt: which, from 1; the last without it. When following, later ones come too.
        """
        offset, current = 0, attempt
        while True:
            query = {
                "stream": stream, "attempt": current, "offset": offset,
                "wait_s": min(10.0, self._timeout_s / 2) if follow else 0,
            }  # fmt: skip
            part = self._http.call("GET", _task(task_id, "logs"), query=query)
            if part["text"]:
                yield part["text"]
            offset, current = part["next_offset"], part["attempt"]
            if part["text"]:
                continue
            if not part["ended"]:
                if not follow:
                    return
            elif attempt or not follow:
                return
            elif part["attempts"] > current:
                offset, current = 0, current + 1
            elif part["task_ended"]:
                return

    # The fleet

    def workers(self) -> tuple[dict[str, Any], ...]:
        """Return all workers."""
        return tuple(self._http.call("GET", "/v1/workers")["items"])

    def drain(self, worker_id: str, *, on: bool = True) -> None:
        """Have a worker finish what it has and take nothing more; `on` False takes that back."""
        self._http.call("POST", f"/v1/workers/{quote(worker_id, safe='')}/drain", body={"on": on})

    def schedulers(self) -> tuple[dict[str, Any], ...]:
        """Return the schedulers there are; one is `active`."""
        return tuple(self._http.call("GET", "/v1/schedulers")["items"])

    def use_scheduler(self, name: str, **options: Any) -> None:
        """Have another scheduler go on."""
        self._http.call("POST", "/v1/schedulers", body={"name": name, "options": options})

    def gc(self, *, dry_run: bool = False) -> dict[str, Any]:
        """Remove what the coordinator keeps no longer, as long as that takes; return how much."""
        while True:
            found = dict(self._http.call("POST", "/v1/gc", body={"dry_run": dry_run}))
            if found["done"]:
                return found

    def recording(self, *, project: str = "", limit: int = 500) -> dict[str, Any]:
        """Return the latest tasks and the workers as `steelyard fleet replay` plays them."""
        query = {"project": project, "limit": limit}
        return dict(self._http.call("GET", "/v1/recording", query=query))

    def metrics(self) -> dict[str, Any]:
        """Return what the coordinator measures of itself."""
        return dict(self._http.call("GET", "/v1/metrics"))

    def health(self) -> dict[str, Any]:
        """Return whether the service is there; needs no key."""
        return dict(self._http.call("GET", "/v1/health"))

    def past_events(
        self, after: int = 0, *, limit: int = 100, task_id: str = ""
    ) -> tuple[tuple[dict[str, Any], ...], int]:
        """Return what happened after an event, and what asks for the page after it."""
        query = {"after": after, "limit": limit, "task_id": task_id}
        page = self._http.call("GET", "/v1/events", query=query)
        return tuple(page["items"]), page["next"]

    def event_ticket(self) -> dict[str, Any]:
        """Return a ticket with which a browser follows events: `protocols`, good once and soon."""
        return dict(self._http.call("POST", "/v1/events/tickets", body={}))

    def events(self, after: int | None = None, *, task_id: str = "") -> Iterator[dict[str, Any]]:
        """Yield what happens, as it does, until the service ends or you stop.

        Args:
            after: begin with the event after this number (`seq`); with what is new without it.
            task_id: only of this task.

        Raises:
            UsageError: the service refused, or does so by now.
            ServiceUnreachableError: it does not answer.
        """
        from websockets.exceptions import ConnectionClosedError, InvalidHandshake, InvalidStatus
        from websockets.sync.client import connect

        url = self.connection.url.replace("http", "ws", 1)
        query = [] if after is None else [f"after={after}"]
        query += [f"task_id={quote(task_id, safe='')}"] if task_id else []
        tls = tls_context(self.connection.ca_file) if url.startswith("wss") else None
        with contextlib.ExitStack() as opened:
            try:
                # What may be iterated over is what `with` gives: later websockets connect there.
                socket = opened.enter_context(connect(
                    f"{url}/v1/events?{'&'.join(query)}", ssl=tls, proxy=None,
                    additional_headers={"Authorization": f"Bearer {self.connection.key}"},
                ))  # fmt: skip
            except InvalidStatus as error:
                status = error.response.status_code
                raise UsageError(f"The service refused to tell events: {status}") from None
            except (OSError, EOFError, InvalidHandshake) as error:
                raise self._http.unreachable(error) from error
            try:
                for message in socket:
                    yield json.loads(message)
            except ConnectionClosedError as error:
                reason = error.rcvd.reason if error.rcvd is not None else "the connection broke"
                raise UsageError(f"The service tells no more events: {reason}") from None

    # Keys

    def keys(self) -> tuple[dict[str, Any], ...]:
        """Return all keys, without their secrets."""
        return tuple(self._http.call("GET", "/v1/keys")["items"])

    def create_key(self, name: str, role: str, **more: Any) -> dict[str, Any]:
        """Make a key; `token` is shown this once. `more`: user, scopes, projects, days."""
        made = self._http.call("POST", "/v1/keys", body={"name": name, "role": role, **more})
        return dict(made)

    def revoke_key(self, key_id: str) -> dict[str, Any]:
        """Have a key be refused from now on."""
        return dict(self._http.call("DELETE", f"/v1/keys/{quote(key_id, safe='')}"))


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _task(task_id: str, part: str = "") -> str:
    path = f"/v1/tasks/{quote(task_id, safe='/:@')}"
    return f"{path}/{part}" if part else path
