"""The load engine of one worker: leases in, exchanges out, exactly when they are due."""

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from steelyard.domain.bench.leases import LeaseBook
from steelyard.domain.bench.messages import BeginPhase, Lease, LeaseAck
from steelyard.domain.bench.ports import Arrival
from steelyard.kernel.ids import make_request_id_prefix
from steelyard.runtime.board import Board, Cell
from steelyard.runtime.exchange import Exchange, Prepared, Transport
from steelyard.runtime.recorder import Recorder
from steelyard.runtime.request_factory import RequestFactory
from steelyard.runtime.sessions import LiveSession, SessionBook
from steelyard.runtime.timerfd import DeadlineTimer

OFFSETS_AHEAD = 4096
PREPARE_AHEAD = 1024
_now = time.monotonic_ns


class Engine:
    """Sends the indices it is leased.

    Args:
        worker: this worker's number.
        run_id: prefix of the request ids.
        factory: gives each index's bytes.
        recorder: takes finished exchanges.
        arrivals: one per phase, None for a closed loop.
        board: where counts and lease cursors are kept for others to see.
        attention: called when the timing manager should hear of us now: leases run low, or
            nothing is left to do.

    `transport` is set by the worker before the first phase.
    """

    transport: Transport

    def __init__(
        self,
        worker: int,
        run_id: str,
        factory: RequestFactory,
        recorder: Recorder,
        arrivals: Sequence[Arrival | None],
        board: Board,
        *,
        loop: asyncio.AbstractEventLoop,
        attention: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._run_id = run_id
        self._factory = factory
        self._loads = factory.in_flight
        self._recorder = recorder
        self._arrivals = arrivals
        self._cells = board.row(worker)
        self._lease_cells = board.lease_cells(worker)
        self._attention = attention
        self._timer = DeadlineTimer(loop, self._pump)
        self._book = LeaseBook(self._lease_cells)
        self._phase = -1
        self._arrival: Arrival | None = None
        self._id_prefix = b""
        self._start_ns = 0
        self._quota: int | None = None
        self._expires_ns = 0
        self._low_water = 0
        self._cancel_at_ns: int | None = None
        self._stopping = False
        self._next_due_ns: int | None = None
        self._offsets: tuple[int, np.ndarray] = (0, np.empty(0, np.int64))
        self._pumping = self._again = False
        self._sessions = SessionBook()
        self._turn_requests: int | None = None
        self._has_turns = False
        self._begun_sessions = 0
        self._sent = 0
        self._in_flight = 0
        self._active = 0
        recorder.answered = self._answered

    # --- told by the timing manager --------------------------------------------------------------

    def begin(self, message: BeginPhase, *, streaming: bool) -> None:
        """Begin a phase; the first request is due at `message.start_ns`."""
        self._phase = message.phase
        self._arrival = self._arrivals[message.phase]
        self._id_prefix = make_request_id_prefix(self._run_id, message.phase).encode()
        self._start_ns = message.start_ns
        self._quota = message.concurrency
        self._cancel_at_ns = None
        self._stopping = False
        self._offsets = (0, np.empty(0, np.int64))
        self._next_due_ns = None
        self._sent = self._begun_sessions = 0
        self._turn_requests = message.turn_requests
        self._has_turns = False
        self._book = LeaseBook(self._lease_cells)
        self._recorder.begin(message.phase, streaming=streaming)
        for cell in (Cell.SENT, Cell.COMPLETED, Cell.FAILED, Cell.CANCELLED):
            self._cells[cell] = 0
        self._cells[Cell.PHASE] = message.phase
        self.grant(message.leases, message.leases[0].expires_ns if message.leases else 0)
        self._prepare_first(message.leases)
        self._timer.arm(max(message.start_ns, _now()))

    def _prepare_first(self, leases: Sequence[Lease]) -> None:
        """Shape the first requests before they are due, in what is left of the lead time."""
        for lease in leases:
            for index in range(lease.index_from, lease.index_to, lease.stride)[:PREPARE_AHEAD]:
                if _now() >= self._start_ns:
                    return
                self._factory.prepare(index)

    def grant(self, leases: Sequence[Lease], renew_to_ns: int) -> None:
        """Take more leases; all that are held are good until `renew_to_ns`."""
        self._expires_ns = max(self._expires_ns, renew_to_ns)
        for lease in leases:
            self._book.add(lease)
        self._cells[Cell.LAST_LEASE] = self._book.last_lease
        self._low_water = self._book.unsent // 4
        if leases and _now() >= self._start_ns:
            self._pump()

    def set_quota(self, concurrency: int | None) -> None:
        """Use another share of the concurrency from now on."""
        self._quota = concurrency
        self._pump()

    def stop_sending(self, cancel_at_ns: int | None) -> None:
        """Send nothing new; cancel what is in flight at `cancel_at_ns`."""
        self._book.drop_all()
        self._timer.disarm()
        for index in self._sessions.end_waiting():
            self._session_over(index)
        self._stopping = True
        self._cancel_at_ns = cancel_at_ns
        self.tick(_now())

    def dataset_grew(self) -> None:
        """Try again what waited for its dataset entry."""
        if _now() >= self._start_ns:
            self._pump()

    def tick(self, now_ns: int) -> None:
        """Several times a second: end what is over its time."""
        if self._cancel_at_ns is not None and now_ns >= self._cancel_at_ns and self._in_flight:
            self.transport.cancel_all("the time of the phase was over")
        self.transport.sweep(now_ns)
        if self._book.unsent and now_ns >= self._expires_ns:
            self._book.drop_all()

    # --- sending -------------------------------------------------------------------------------

    def finished(self, exchange: Exchange) -> None:
        """Take an exchange back from the transport."""
        self._in_flight -= 1
        self._loads[exchange.url] -= 1
        self._cells[Cell.IN_FLIGHT] = self._in_flight
        if exchange.live is None:
            self._active -= 1
        self._recorder.add(exchange)
        if self._book.unsent:
            self._pump()
        elif not self._active:
            self._attention()

    def _answered(self, exchange: Exchange, answer: str, tokens: int) -> None:
        """A turn of a conversation was read: its next one waits, or the session is over."""
        session = exchange.live
        if session is None:
            return
        if exchange.error or session.last or self._stopping or self._spent:
            self._sessions.end(session.index)
            self._session_over(session.index)
            if not self._active and not self._book.unsent:
                self._attention()
        else:
            due_ns = session.advance(answer, tokens, exchange.end_ns)
            self._sessions.wait(session, due_ns)
        self._pump()

    def _session_over(self, index: int) -> None:
        self._active -= 1
        self.transport.end_session(index)

    @property
    def _spent(self) -> bool:
        """The requests of this worker's share are sent; only counted where sessions have turns."""
        return self._turn_requests is not None and self._sent >= self._turn_requests

    def _pump(self) -> None:
        """Send all that is due. A failed send ends in here again: that call only leaves a note."""
        if self._pumping:
            self._again = True
            return
        self._pumping = True
        try:
            while True:
                self._again = False
                self._follow_up(_now())
                if self._arrival is None:
                    self._fill(_now())
                else:
                    self._send_due(_now(), self._arrival)
                if not self._again:
                    break
        finally:
            self._pumping = False
        self._arm()

    def _arm(self) -> None:
        """Wake up for whatever is due first."""
        dues = [due for due in (self._next_due_ns, self._sessions.next_due_ns()) if due is not None]
        if dues:
            self._timer.arm(min(dues))

    def _follow_up(self, now_ns: int) -> None:
        """Send the turns whose time has come; a conversation waits for no lease and no slot."""
        while (due := self._sessions.take_due(now_ns)) is not None:
            session, due_ns = due
            if self._spent:
                self._sessions.end(session.index)
                self._session_over(session.index)
                continue
            prepared = self._factory.follow(session)
            place = b"%d.%d" % (session.index, session.turn)
            self._submit(session.index, prepared, place, due_ns, session)

    def _fill(self, now_ns: int) -> None:
        """Closed loop: as many sessions as the quota says, each intended when its slot is free.

        The first ones' slots are free when the phase starts, all others' since just now.
        """
        quota = self._quota or 0
        while self._active < quota:
            index = self._book.peek()
            intended_ns = now_ns if self._begun_sessions >= quota else self._start_ns
            if index is None or not self._launch(index, intended_ns, now_ns):
                return

    def _send_due(self, now_ns: int, arrival: Arrival) -> None:
        """Open loop: what is due goes out, and the timer waits for the next."""
        self._next_due_ns = None
        while (index := self._book.peek()) is not None:
            due_ns = self._start_ns + self._offset_ns(arrival, index)
            if due_ns > now_ns:
                self._next_due_ns = due_ns
                self._factory.prepare(index)
                return
            if self._quota is not None and self._active >= self._quota:
                return
            if not self._launch(index, due_ns, now_ns):
                return
            now_ns = _now()

    def _offset_ns(self, arrival: Arrival, index: int) -> int:
        first, offsets = self._offsets
        at = index - first
        if not 0 <= at < len(offsets):
            offsets = arrival.offsets_ns(index, OFFSETS_AHEAD)
            self._offsets = (index, offsets)
            at = 0
        return int(offsets[at])

    def _launch(self, index: int, intended_ns: int, now_ns: int) -> bool:
        """Send one index; False when it can't go now (entry not ready, leases run out)."""
        if now_ns >= self._expires_ns:
            return False
        prepared = self._factory.prepare(index)
        if prepared is None:
            return False
        session = None
        if prepared.session is not None:
            session = prepared.session(index)
            self._has_turns = True
        if self._has_turns and self._spent:
            self._book.spend_all()
            return False
        if session is not None:
            self._sessions.begin(session)
        self._book.take()  # before the send: what was sent is never unsent on the board
        self._begun_sessions += 1
        self._active += 1
        self._submit(index, prepared, b"%d" % index, intended_ns, session)
        if self._book.unsent == self._low_water:
            self._attention()
        return True

    def _submit(
        self,
        index: int,
        prepared: Prepared,
        place: bytes,
        intended_ns: int,
        session: LiveSession | None,
    ) -> None:
        self._sent += 1
        self._in_flight += 1
        self._loads[prepared.url] += 1
        cells = self._cells
        cells[Cell.SENT] = self._sent
        cells[Cell.IN_FLIGHT] = self._in_flight
        request = b"%b%b%b-0%b" % (prepared.head, self._id_prefix, place, prepared.tail)
        exchange = Exchange(index, prepared, request, intended_ns)
        if session is not None:
            exchange.live = session
            exchange.turn = session.turn
            exchange.session_over = session.last
        self.transport.submit(exchange)

    # --- asked by the worker -------------------------------------------------------------------

    @property
    def begun(self) -> bool:
        """A phase is under way, or was."""
        return self._phase >= 0

    @property
    def done_sending(self) -> bool:
        """Nothing to send, nothing in flight, no conversation open; answers may wait to be read."""
        return not self._book.unsent and not self._in_flight and not len(self._sessions)

    @property
    def idle(self) -> bool:
        """Nothing to send, nothing in flight, nothing unread."""
        return self.done_sending and not self._recorder.backlog

    def ack(self) -> LeaseAck:
        """Return how far the phase is on this worker."""
        recorder = self._recorder
        return LeaseAck(
            worker=self._worker,
            phase=self._phase,
            epoch=self._phase,
            sent_to=self._book.cursors(),
            last_lease=self._book.last_lease,
            sent=self._sent,
            completed=recorder.completed,
            failed=recorder.failed,
            cancelled=recorder.cancelled,
            in_flight=self._in_flight,
            sessions=self._begun_sessions,
            idle=self.idle,
        )

    def close(self) -> None:
        """Release the timer."""
        self._timer.close()
