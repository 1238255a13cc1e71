"""The load engine of one worker: leases in, exchanges out, exactly when they are due."""

import asyncio
import time
from collections.abc import Callable, Sequence

from steelyard.domain.bench.leases import LeaseBook
from steelyard.domain.bench.messages import BeginPhase, Lease, LeaseAck, SetQuota
from steelyard.kernel.ids import make_request_id_prefix
from steelyard.runtime.board import Board, Cell
from steelyard.runtime.cancellations import Cancellations, cancellations_of
from steelyard.runtime.exact_timer import ExactTimer
from steelyard.runtime.exchange import Exchange, Prepared, Transport
from steelyard.runtime.freed_slots import FreedSlots
from steelyard.runtime.limits import Limits
from steelyard.runtime.phase_load import Beat, PhaseLoad
from steelyard.runtime.prefill import PrefillGate
from steelyard.runtime.recorder import Recorder
from steelyard.runtime.request_factory import RequestFactory
from steelyard.runtime.sessions import LiveSession, SessionBook
from steelyard.runtime.slots import Slots

_SENT, _IN_FLIGHT = int(Cell.SENT), int(Cell.IN_FLIGHT)  # an enum takes 0.1 us to give one
_now = time.monotonic_ns


class Engine:
    """Sends the indices it is leased.

    Args:
        worker: this worker's number.
        run_id: prefix of the request ids.
        factory: gives each index's bytes.
        recorder: takes finished exchanges.
        loads: one per phase.
        board: where counts and lease cursors are kept for others to see.
        attention: called when the timing manager should hear of us now: leases run low, or
            nothing is left to do.

    `transport` is set by the worker before the first phase; `timer` waits for what is due.
    """

    transport: Transport

    def __init__(
        self,
        worker: int,
        run_id: str,
        factory: RequestFactory,
        recorder: Recorder,
        loads: Sequence[PhaseLoad],
        board: Board,
        *,
        loop: asyncio.AbstractEventLoop,
        attention: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._run_id = run_id
        self._factory = factory
        self._in_flight_at = factory.in_flight
        self._recorder = recorder
        self._loads = loads
        self._cells = board.row(worker)
        self._lease_cells = board.lease_cells(worker)
        self._attention = attention
        self._loop = loop
        self.timer = ExactTimer(loop, self._pump)
        self._book = LeaseBook(self._lease_cells)
        self._phase = -1
        self._beat: Beat | None = None
        self._replays = False
        self._limits: Limits
        self._slots = Slots(0, None, 0)
        self._freed = FreedSlots(loop, self._pump)
        self._gate: PrefillGate | None = None
        self._cancellations: Cancellations | None = None
        self._id_prefix = b""
        self._start_ns = 0
        self._expires_ns = 0
        self._low_water = 0
        self._cancel_at_ns: int | None = None
        self._stopping = False
        self._next_due_ns: int | None = None
        self._pumping = self._again = False
        self._sessions = SessionBook()
        self._turn_requests: int | None = None
        self._has_turns = False
        self._begun_sessions = 0
        self._sent = 0
        self._in_flight = 0
        self._active = 0
        recorder.answered = self._answered
        recorder.before_slice = self._freed.fill_held

    # --- told by the timing manager --------------------------------------------------------------

    def begin(self, message: BeginPhase, *, streaming: bool) -> None:
        """Begin a phase; the first request is due at `message.start_ns`."""
        self._phase = message.phase
        load = self._loads[message.phase]
        self._beat = None if load.arrival is None else Beat(load.arrival, message.start_ns)
        self._replays = load.replays
        self._limits = Limits(load, message, self._factory.endpoint, self._pump)
        self._slots, self._gate = self._limits.slots, self._limits.gate
        if self._cancellations is not None:
            self._cancellations.close()
        self._cancellations = cancellations_of(load, self.transport.cancel, self._loop)
        self._id_prefix = make_request_id_prefix(self._run_id, message.phase).encode()
        self._start_ns = message.start_ns
        self._cancel_at_ns = self._next_due_ns = None
        self._stopping = False
        self._freed.clear()
        self._sent = self._begun_sessions = self._sessions.dropped_turns = 0
        self._turn_requests = message.turn_requests
        self._has_turns = False
        self._book = LeaseBook(self._lease_cells)
        self._recorder.begin(message.phase, streaming=streaming)
        for cell in (Cell.SENT, Cell.COMPLETED, Cell.FAILED, Cell.CANCELLED):
            self._cells[cell] = 0
        self._cells[Cell.PHASE] = message.phase
        self.grant(message.leases, message.leases[0].expires_ns if message.leases else 0)
        self._factory.prepare_ahead(message.leases, message.start_ns)
        self.timer.arm(max(message.start_ns, _now()))

    def grant(self, leases: Sequence[Lease], renew_to_ns: int) -> None:
        """Take more leases; all that are held are good until `renew_to_ns`."""
        self._expires_ns = max(self._expires_ns, renew_to_ns)
        for lease in leases:
            self._book.add(lease)
        self._cells[Cell.LAST_LEASE] = self._book.last_lease
        self._low_water = self._book.unsent // 4
        if leases and _now() >= self._start_ns:
            self._pump()

    def set_quota(self, message: SetQuota) -> None:
        """Use another share of the limits from now on."""
        now_ns = _now()
        self._limits.change(message, now_ns)
        if now_ns >= self._start_ns:
            self._pump()

    def stop_sending(self, cancel_at_ns: int | None) -> None:
        """Send nothing new; cancel what is in flight at `cancel_at_ns`."""
        self._book.drop_all()
        self.timer.disarm()
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
        self._in_flight_at[exchange.url] -= 1
        self._cells[_IN_FLIGHT] = self._in_flight
        if exchange.live is None:
            self._leave_slot()
        if self._gate is not None:
            self._gate.leave(exchange)
        if self._cancellations is not None:
            self._cancellations.forget(exchange)
        if self._book.unsent or (self._gate is not None and len(self._sessions)):
            self._freed.fill_soon()  # before the recorder has its turn
        self._recorder.add(exchange)
        if not self._active and not self._book.unsent:
            self._attention()

    def _answered(self, exchange: Exchange, answer: str, tokens: int) -> None:
        """A turn of a conversation was read: its next one waits, or the session is over."""
        session = exchange.live
        if session is None:
            return
        if exchange.error or session.last or self._stopping or self._spent:
            self._sessions.end(session.index, broken=bool(exchange.error))
            self._session_over(session.index)
            if not self._active and not self._book.unsent:
                self._attention()
        else:
            due_ns = session.advance(answer, tokens, exchange.end_ns)
            self._sessions.wait(session, due_ns)
        self._pump()

    def _leave_slot(self) -> None:
        self._active -= 1
        if self._beat is None:
            self._freed.note()

    def _session_over(self, index: int) -> None:
        self._leave_slot()
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
        self._freed.filled()
        try:
            while True:
                self._again = False
                self._follow_up(_now())
                if self._beat is None:
                    self._fill(_now())
                else:
                    self._send_due(_now(), self._beat)
                if not self._again:
                    break
        finally:
            self._pumping = False
        self._arm()

    def _arm(self) -> None:
        """Wake up for whatever is due first; what the gate holds back waits for the gate."""
        if self._gate is not None and self._gate.full:
            candidates = [self._gate.slots.next_ns]
        else:
            candidates = [self._next_due_ns, self._sessions.next_due_ns(), self._slots.next_ns]
        dues = [due for due in candidates if due is not None]
        if dues:
            self.timer.arm(min(dues))

    def _follow_up(self, now_ns: int) -> None:
        """Send the turns whose time has come; a conversation waits for no lease and keeps its slot.

        Only the gate can hold it back; in a closed loop its turn is then intended when there is
        room.
        """
        gate = self._gate
        if gate is not None:
            gate.look(now_ns)
        while (gate is None or not gate.full) and (
            due := self._sessions.take_due(now_ns)
        ) is not None:
            session, due_ns = due
            if self._spent:
                self._sessions.end(session.index)
                self._session_over(session.index)
                continue
            prepared = self._factory.follow(session)
            if gate is not None and self._beat is None:
                due_ns = max(due_ns, gate.free_since_ns)
            place = b"%d.%d" % (session.index, session.turn)
            self._submit(session.index, prepared, place, due_ns, session)

    def _fill(self, now_ns: int) -> None:
        """Closed loop: as many sessions as slots are open, each intended when its slot is free.

        A slot is free for its first session since it opened, for any other since the last answer.
        With a limit on prefills it is free only when there is room for one more of these, too.
        """
        slots, gate = self._slots, self._gate
        if slots.next_ns is not None:
            slots.look(now_ns)
        while self._active < slots.open:
            index = self._book.peek()
            if index is None:
                return
            fresh = slots.fresh > 0
            intended_ns = slots.fresh_since_ns() if fresh else self._freed.since_ns(now_ns)
            if gate is not None:
                intended_ns = max(intended_ns, gate.free_since_ns)
            if not self._launch(index, intended_ns, now_ns):
                return
            if fresh:
                slots.use()
            else:
                self._freed.use()

    def _send_due(self, now_ns: int, beat: Beat) -> None:
        """Open loop: what is due goes out, and the timer waits for the next."""
        self._next_due_ns = None
        slots = self._slots
        if slots.next_ns is not None:
            slots.look(now_ns)
        while (index := self._book.peek()) is not None:
            due_ns = beat.due_ns(index)
            if due_ns > now_ns:
                self._next_due_ns = due_ns
                self._factory.prepare(index)
                return
            if self._active >= slots.open:
                return
            if not self._launch(index, due_ns, now_ns):
                return
            now_ns = _now()

    def _launch(self, index: int, intended_ns: int, now_ns: int) -> bool:
        """Send one index; False when it can't go now (entry not ready, leases run out, gate)."""
        if now_ns >= self._expires_ns or (self._gate is not None and self._gate.full):
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
            session.replayed_from_ns = intended_ns if self._replays else None
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
        self._in_flight_at[prepared.url] += 1
        cells = self._cells
        cells[_SENT] = self._sent
        cells[_IN_FLIGHT] = self._in_flight
        request = b"%b%b%b-0%b" % (prepared.head, self._id_prefix, place, prepared.tail)
        exchange = Exchange(index, prepared, request, intended_ns)
        if session is not None:
            exchange.live = session
            exchange.turn = session.turn
            exchange.session_over = session.last
        if self._gate is not None:
            self._gate.enter(exchange)
        if self._cancellations is not None:
            self._cancellations.consider(exchange)
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
            dropped_turns=self._sessions.dropped_turns,
            idle=self.idle,
        )

    def close(self) -> None:
        """Release the timers."""
        self.timer.close()
        if self._cancellations is not None:
            self._cancellations.close()
