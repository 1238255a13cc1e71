"""What bounds how much of a phase a worker has under way at once."""

from collections.abc import Callable

import numpy as np

from steelyard.domain.bench.messages import BeginPhase, SetQuota
from steelyard.domain.bench.ports import Endpoint
from steelyard.runtime.phase_load import PhaseLoad
from steelyard.runtime.prefill import PrefillGate
from steelyard.runtime.slots import Slots


class Limits:
    """A worker's share of the phase's limits, along their ramps.

    Args:
        load: says when the slots of all workers open.
        message: this worker's share and place.
        endpoint: tells the first content of a stream.
        freed: called when a stream's first content made room for another request.

    Attributes:
        slots: those of sessions. A closed loop has none without a concurrency.
        gate: None where any number may wait for their first content.
    """

    def __init__(
        self,
        load: PhaseLoad,
        message: BeginPhase,
        endpoint: Endpoint,
        freed: Callable[[], None],
    ) -> None:
        self._load = load
        start_ns = message.start_ns
        self.slots = Slots(*self._sessions(message), start_ns)
        self.gate: PrefillGate | None = None
        if message.prefill_concurrency is not None:
            slots = Slots(*self._prefills(message), start_ns)
            self.gate = PrefillGate(endpoint, slots, start_ns, freed)

    def change(self, message: SetQuota, now_ns: int) -> None:
        """Take another share and place from now on."""
        self.slots.change(*self._sessions(message), now_ns)
        if self.gate is not None:
            self.gate.change(*self._prefills(message), now_ns)

    def _sessions(self, message: BeginPhase | SetQuota) -> tuple[int | None, list[int] | None]:
        share = message.concurrency
        if share is None and self._load.arrival is None:
            share = 0
        return share, _own(self._load.concurrency_opens_ns, message)

    def _prefills(self, message: BeginPhase | SetQuota) -> tuple[int | None, list[int] | None]:
        return message.prefill_concurrency, _own(self._load.prefill_opens_ns, message)


def _own(openings_ns: np.ndarray | None, place: BeginPhase | SetQuota) -> list[int] | None:
    """Return the openings of this worker's slots: `rank`, `rank + size` and so on of all."""
    return None if openings_ns is None else openings_ns[place.rank :: place.size].tolist()
