"""Removes what a fleet keeps no longer: in the background, a little at a time, or when asked."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from steelyard.app.fleet.guarded_nodes import GuardedNode, nodes_of
from steelyard.domain.fleet.events import Event, WorkersOutlived
from steelyard.domain.fleet.ports import Engine
from steelyard.domain.fleet.worker_rules import is_outlived
from steelyard.kernel.errors import EndpointUnreachableError, FileError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.files import next_step_of, reason_of
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_forgetting import (
    forget,
    forget_decisions,
    forget_events,
    forgettable,
    standing,
)
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.fleet.ledger_relay import journal_parts
from steelyard.runtime.fleet.output_files import OutputFiles, Outputs
from steelyard.runtime.fleet.output_sweep import Swept, sweep
from steelyard.runtime.fleet.retention import Retention
from steelyard.runtime.fleet.worker_logs import cut_logs, remove_logs

REST_S = 0.05
"""Between two steps in the background: who submits, and who looks, goes first."""
FIRST_S = 60.0
"""After which a coordinator looks for the first time."""
GAP_S = 86_400.0
"""A fleet of which nothing is known for so long has slept, or the clock of this host is wrong: what
tidies up by itself waits as long, for the clock to be set."""
_log = logging.getLogger("steelyard.fleet")


class Tidied(msgspec.Struct, kw_only=True):
    """What was removed, or would be.

    Attributes:
        done: nothing more is to do; False while it goes on.
        dry_run: nothing was removed.
        tasks: forgotten in the ledger, with all that is about them.
        workers: that ended as long ago, forgotten too.
        outputs, output_bytes: tasks whose files went, and what they took of the disk.
        journal_parts, journal_bytes: files of the journal.
        worker_log_bytes: what workers that ended as long ago said themselves.
        node_outputs, node_bytes: as `outputs`, on the nodes of an engine that has any.
        unreached: workers on whose nodes nothing was removed, as they are not there; later it is.
        left: directories and files that could not be removed.
    """

    done: bool = False
    dry_run: bool = False
    tasks: int = 0
    workers: int = 0
    outputs: int = 0
    output_bytes: int = 0
    journal_parts: int = 0
    journal_bytes: int = 0
    worker_log_bytes: int = 0
    node_outputs: int = 0
    node_bytes: int = 0
    unreached: tuple[str, ...] = ()
    left: int = 0


class Tidier:
    """Tidies up while a coordinator leads, one round at a time.

    Args:
        keep: what stays.
        directory: of the fleet.
        ledger: that this coordinator leads on.
        tell: tells the machine, which forgets workers.
        now_ns: Unix time, the earliest there is reason to believe in.
        last_ns: when something happened last before this coordinator began, 0 for never.
        journal: there is one; without it no event waits to be published.
        engines: by name; some may have nodes, with files of attempts on them.
    """

    def __init__(
        self,
        keep: Retention,
        directory: Path,
        ledger: SqlLedger,
        tell: Callable[[Event], Awaitable[object]],
        now_ns: Callable[[], int],
        *,
        last_ns: int,
        journal: bool,
        engines: Mapping[str, Engine],
    ) -> None:
        self._keep, self._directory, self._ledger = keep, directory, ledger
        self._tell, self._now_ns, self._journal = tell, now_ns, journal
        self._last_ns = last_ns
        self._engines = dict(engines)
        self._away: set[str] = set()
        self._round: asyncio.Task[Tidied] | None = None
        self._account = Tidied()

    async def run(self) -> None:
        """Tidy up now and then until cancelled; what can't be removed is tried again.

        Raises:
            LostLeadershipError: another coordinator leads.
            LedgerGoneError: the ledger can't be reached, and was waited for.
        """
        wait_s = self._first_s()
        try:
            while True:
                await asyncio.sleep(wait_s)
                wait_s = self._keep.every_s
                try:
                    found = await self.ask(dry_run=False)
                except FileError as error:
                    _log.error("What is over could not be removed: %s", error)
                    continue
                if found != Tidied(done=True):
                    _log.info("Removed what is over: %s", msgspec.to_builtins(found))
        finally:
            await self._stop_round()

    def _first_s(self) -> float:
        gap_s = (self._now_ns() - self._last_ns) / NS_PER_S
        if self._last_ns and gap_s > GAP_S:
            _log.warning(
                "The last that happened in this fleet was %.1f days ago by this host's clock: in"
                " case the clock is wrong, nothing is removed for a day, unless asked for",
                gap_s / GAP_S,
            )
            return GAP_S
        return min(FIRST_S, self._keep.every_s)

    async def ask(self, *, dry_run: bool, within_s: float | None = None) -> Tidied:
        """Have a round begin, or go on with the one that is under way; return what it came to.

        Args:
            dry_run: only count.
            within_s: after which the answer comes, `done` or not; None for when it is done.

        Raises:
            LostLeadershipError: another coordinator leads.
            FileError, LedgerGoneError: the ledger can't be read, written or reached.
        """
        if self._round is None or self._round.done() or self._account.dry_run != dry_run:
            await self._stop_round()
            self._account = Tidied(dry_run=dry_run)
            self._round = asyncio.create_task(self._tidy(self._account), name="fleet-gc")
        begun, account = self._round, self._account
        await asyncio.wait({begun}, timeout=within_s)
        if begun.done() and not begun.cancelled():
            self._round = None if self._round is begun else self._round
            return begun.result()
        return msgspec.structs.replace(account)

    async def _stop_round(self) -> None:
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)
            self._round = None

    async def _tidy(self, account: Tidied) -> Tidied:
        # Before the ledger forgets when tasks ended, and who were workers.
        await self._try(self._tidy_outputs(account), account)
        await self._tidy_nodes(account)
        await self._tidy_ledger(account)
        await self._try(asyncio.to_thread(self._tidy_journal, account), account)
        account.done = True
        return account

    async def _try(self, part: Coroutine[Any, Any, None], account: Tidied) -> None:
        """Do a part of a round; what the disk has against it keeps no other part from its turn."""
        try:
            await part
        except OSError as error:
            text = f"Can't tidy up {self._directory}: {reason_of(error)}"
            _log.error("%s", FileError(text, next_step=next_step_of(error)))
            account.left += 1

    async def _tidy_outputs(self, account: Tidied) -> None:
        async for swept in self._sweep(OutputFiles(self._directory), account):
            account.outputs, account.output_bytes = swept.tasks, swept.bytes
            account.left = swept.left

    async def _tidy_nodes(self, account: Tidied) -> None:
        """Sweep each node there is: it has a disk of its own, for which the same holds."""
        nodes: dict[str, GuardedNode | None] = {}
        for name, engine in self._engines.items():
            try:
                nodes |= nodes_of(name, engine)
            except EndpointUnreachableError as error:
                self._not_reached(f"engine '{name}'", str(error), account)
        queries = LedgerQueries(self._ledger.database)
        known = {w.worker_id for w in await asyncio.to_thread(queries.workers)} if nodes else set()
        for worker_id, node in nodes.items():
            if node is None and worker_id not in known:
                continue  # forgotten: nodes that come and go have new names each time
            why_not = await self._tidy_node(node, account) if node is not None else "it is gone"
            if why_not:
                self._not_reached(worker_id, why_not, account)
            else:
                self._away.discard(worker_id)

    def _not_reached(self, name: str, why_not: str, account: Tidied) -> None:
        account.unreached += (name,)
        if name not in self._away:
            self._away.add(name)
            _log.warning("What is over stays on %s until it is back: %s", name, why_not)

    async def _tidy_node(self, node: GuardedNode, account: Tidied) -> str:
        """Sweep one; return why it could not be."""
        tasks, size, left = account.node_outputs, account.node_bytes, account.left
        before_ns = self._keep.before_ns(self._now_ns(), self._keep.days)
        try:
            async for swept in self._sweep(node, account):
                account.node_outputs = tasks + swept.tasks
                account.node_bytes, account.left = size + swept.bytes, left + swept.left
            gone = await asyncio.to_thread(node.tidy_logs, before_ns, dry_run=account.dry_run)
        except EndpointUnreachableError as error:
            return str(error)
        account.worker_log_bytes += gone.bytes
        account.left += gone.left
        return ""

    async def _sweep(self, outputs: Outputs, account: Tidied) -> AsyncIterator[Swept]:
        keep, now_ns = self._keep, self._now_ns()
        steps = sweep(
            outputs, partial(standing, self._ledger.database),
            before_ns=keep.before_ns(now_ns, keep.output_days), bytes_max=keep.output_bytes,
            now_ns=now_ns, dry_run=account.dry_run,
        )  # fmt: skip
        while (swept := await asyncio.to_thread(_next, steps)) is not None:
            yield swept
            await asyncio.sleep(REST_S)

    async def _tidy_ledger(self, account: Tidied) -> None:
        before_ns = self._keep.before_ns(self._now_ns(), self._keep.days)
        known = await asyncio.to_thread(LedgerQueries(self._ledger.database).workers)
        if not account.dry_run:
            names = [worker.worker_id for worker in known]
            account.left += (await asyncio.to_thread(cut_logs, self._directory, names)).left
        if not before_ns:
            return
        outlived = [worker.worker_id for worker in known if is_outlived(worker, before_ns)]
        account.workers = len(outlived)
        gone = await asyncio.to_thread(
            remove_logs, self._directory, outlived, dry_run=account.dry_run
        )
        account.worker_log_bytes += gone.bytes
        account.left += gone.left
        if outlived and not account.dry_run:
            await self._tell(WorkersOutlived(before_ns))
        if account.dry_run:
            account.tasks = await asyncio.to_thread(forgettable, self._ledger.database, before_ns)
            return
        while count := await asyncio.to_thread(forget, self._ledger, before_ns):
            account.tasks += count
            await asyncio.sleep(REST_S)
        for look in (
            partial(forget_events, self._ledger, before_ns, published=self._journal),
            partial(forget_decisions, self._ledger, before_ns),
        ):
            after = await asyncio.to_thread(look, after=0)
            while after:
                await asyncio.sleep(REST_S)
                after = await asyncio.to_thread(look, after=after)

    def _tidy_journal(self, account: Tidied) -> None:
        """Remove the oldest parts of the journal; the last is still written."""
        before_ns = self._keep.before_ns(self._now_ns(), self._keep.days)
        parts = [(path, path.stat()) for path in journal_parts(self._directory / "journal")]
        total = sum(stat.st_size for _, stat in parts)
        bytes_max = self._keep.journal_bytes or total
        for path, stat in parts[:-1]:
            if stat.st_mtime_ns >= before_ns and total <= bytes_max:
                break
            total -= stat.st_size
            account.journal_parts += 1
            account.journal_bytes += stat.st_size
            if not account.dry_run:
                path.unlink()


def _next(steps: Iterator[Swept]) -> Swept | None:
    return next(steps, None)
