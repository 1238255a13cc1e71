"""Requests before they are due: each entry of the dataset is shaped once and kept as bytes."""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from steelyard.domain.bench.balance import chooser
from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.domain.bench.messages import Lease
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.ports import Endpoint
from steelyard.domain.bench.records import MISSING
from steelyard.domain.bench.response import RequestContext, WireRequest
from steelyard.domain.bench.sampling import entry_of
from steelyard.domain.bench.targets import Target
from steelyard.kernel.errors import PluginError
from steelyard.runtime.exchange import Prepared
from steelyard.runtime.sessions import LiveSession

PREPARE_AHEAD = 1024
CACHE_BYTES_MAX = 64 * 1024 * 1024


class EntrySource(Protocol):
    """Where conversations are read from; `DatasetStoreReader` is one."""

    def read(self, entry: int) -> Conversation:
        """Return an entry."""
        ...


class RequestFactory:
    """Gives the bytes of any schedule index.

    Args:
        plan: models, sampling and seed.
        endpoint: shapes the entries.
        targets: the servers; the plan's `url_strategy` says which an index goes to.
        secret_headers: added to each request; kept nowhere else.

    Shaped entries are kept up to `CACHE_BYTES_MAX`, the least recently used going first; who was
    used when is noted from the first that had to go.

    Attributes:
        endpoint: as given.
        in_flight: requests under way per target; kept by who sends and receives them.
    """

    def __init__(
        self,
        plan: Plan,
        endpoint: Endpoint,
        targets: Sequence[Target],
        secret_headers: Mapping[str, str],
    ) -> None:
        self._plan = plan
        self.endpoint = endpoint
        self._targets = targets
        self._secrets = tuple(secret_headers.items())
        self._models = plan.models
        self.in_flight = [0] * len(targets)
        self._target_of = chooser(
            plan.endpoint.url_strategy, len(targets), plan.seed, self.in_flight
        )
        self._source: EntrySource | None = None
        self._ready = 0
        self._complete = False
        self._cache: OrderedDict[tuple[int, int, int], Prepared] = OrderedDict()
        self._cache_bytes = 0
        self._evicts = False
        self._sequential = plan.dataset.sampling == "sequential"

    def provide(self, source: EntrySource, ready: int, *, complete: bool) -> None:
        """Note that entries `0..ready` may be read now."""
        self._source, self._ready, self._complete = source, ready, complete

    def prepare(self, index: int) -> Prepared | None:
        """Return what index sends, or None while its entry is not there yet.

        A request that a plugin's endpoint can't build has a `refusal`; the next time it is asked
        again.
        """
        if self._complete:
            entry = (
                index % self._ready
                if self._sequential and self._ready
                else entry_of(index, self._ready, self._plan.dataset.sampling, self._plan.seed)
            )
        elif self._sequential and index < self._ready:
            entry = index
        else:
            return None
        key = (entry, index % len(self._models), self._target_of(index))
        prepared = self._cache.get(key)
        if prepared is None:
            return self._shape(key)
        if self._evicts:
            self._cache.move_to_end(key)
        return prepared

    def prepare_ahead(self, leases: Sequence[Lease], until_ns: int) -> None:
        """Shape the first requests of new leases, in the time there is before they are due."""
        for lease in leases:
            for index in range(lease.index_from, lease.index_to, lease.stride)[:PREPARE_AHEAD]:
                if time.monotonic_ns() >= until_ns:
                    return
                self.prepare(index)

    def _shape(self, key: tuple[int, int, int]) -> Prepared:
        if self._source is None:
            message = "an entry was asked for before the dataset store was provided"
            raise RuntimeError(message)
        entry, model, url = key
        turns = self._source.read(entry).turns
        prepared = self._prepared(entry, turns[:1], model=model, url=url)
        if len(turns) > 1:
            prepared.session = partial(LiveSession, entry=entry, turns=turns, model=model, url=url)
        if not prepared.refusal:
            self._keep(key, prepared)
        return prepared

    def follow(self, session: LiveSession) -> Prepared:
        """Return what the turn at hand of a session sends; its history is part of it."""
        return self._prepared(
            session.entry,
            session.history,
            model=session.model,
            url=session.url,
            number=session.turn,
        )

    def _prepared(
        self, entry: int, history: Sequence[Turn], *, model: int, url: int, number: int = 0
    ) -> Prepared:
        context = RequestContext(
            model=self._models[model], streaming=self._plan.endpoint.streaming, turn=number
        )
        try:
            head, tail = self._bytes(self.endpoint.build(history, context), self._targets[url])
            prepared = Prepared(entry, url, head, tail)
        except PluginError as error:
            prepared = Prepared(entry, url, b"", b"", refusal=str(error))
        turn = history[-1]
        if turn.max_tokens is not None:
            prepared.requested_output_tokens = turn.max_tokens
        counts = [said.input_tokens for said in history]
        prepared.client_input_tokens = MISSING if MISSING in counts else sum(counts)
        return prepared

    def _bytes(self, wire: WireRequest, target: Target) -> tuple[bytes, bytes]:
        """Return the request split at its id: RFC 9112 head lines, then the body."""
        lines = [f"{wire.method} {target.path(wire.path)} HTTP/1.1", f"Host: {target.authority}"]
        lines += [f"{name}: {value}" for name, value in (*wire.headers, *self._secrets)]
        if self._plan.endpoint.connection_reuse == "never":
            lines.append("Connection: close")
        lines += [f"Content-Length: {len(wire.body)}", "X-Request-ID: "]
        return "\r\n".join(lines).encode("utf-8"), b"\r\n\r\n" + wire.body

    def _keep(self, key: tuple[int, int, int], prepared: Prepared) -> None:
        self._cache[key] = prepared
        self._cache_bytes += len(prepared.head) + len(prepared.tail)
        while self._cache_bytes > CACHE_BYTES_MAX and len(self._cache) > 1:
            self._evicts = True
            _, old = self._cache.popitem(last=False)
            self._cache_bytes -= len(old.head) + len(old.tail)
