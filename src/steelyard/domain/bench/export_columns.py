"""The columns of exported records: numbers as recorded, and names for what records number."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np

from steelyard.domain.bench.metrics import sending_end_ns
from steelyard.domain.bench.records import (
    MISSING,
    RECORD_DTYPE,
    ErrorKind,
    StampSource,
    TokenProvenance,
)
from steelyard.kernel.ids import make_request_id, make_request_id_prefix

LEADING_COLUMNS = (
    "x_request_id", "schedule_index", "attempt", "worker_id", "host_id", "session_id", "turn",
    "phase", "endpoint_url", "conn_id", "conn_reused", "intended_ns", "start_ns", "sent_ns",
    "first_byte_ns", "first_token_ns", "first_output_ns", "second_token_ns", "last_token_ns",
    "end_ns", "stamp_lower_ns", "stamp_source", "coalesced_events", "chunks", "input_tokens",
    "output_tokens", "reasoning_tokens", "token_provenance", "status", "error_kind", "cancelled",
)  # fmt: skip
"""The record columns of every export, in this order; what else a record holds follows them."""

_NUMBERED = {
    "stamp_source": tuple(kind.name.lower() for kind in StampSource),
    "token_provenance": tuple(kind.name.lower() for kind in TokenProvenance),
    "error_kind": tuple(kind.name.lower() for kind in ErrorKind),
}
_TRACE = ("sending_ns", "waiting_ns", "receiving_ns")
"""Phases of a request between two stamps; the others (`blocked_ns`, ...) are in each record."""


class ExportNames(msgspec.Struct, frozen=True):
    """What stands in exports for the numbers in records.

    `worker_hosts` has the machine of each worker by its number; empty when it is `host_id` for all.
    """

    run_id: str
    host_id: str
    phases: tuple[str, ...]
    urls: tuple[str, ...]
    worker_hosts: tuple[str, ...] = ()

    def of(self, column: str) -> tuple[str, ...]:
        """Return the names of a column's numbers, from 0 on."""
        own = {"phase": self.phases, "endpoint_url": self.urls}
        return own.get(column) or _NUMBERED.get(column, ())


class ExportColumns:
    """Turns rows of `RECORD_DTYPE` into export columns; None stands for what did not happen.

    Args:
        names: of phases, servers, run and host.
        http_trace: the durations of sending, waiting and receiving are columns too.
        stepped: tells which rows straddle a step of the wall clock.

    Attributes:
        numbers: the columns that are numbers in exports, as they are in records.
        named: the columns whose numbers are exported as names.
        computed: the columns that are not in records.
        order: all of them, and the ids, in the order of exports.
    """

    def __init__(
        self,
        names: ExportNames,
        *,
        http_trace: bool = False,
        stepped: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.names = names
        self._stepped = stepped
        recorded = [name for name in RECORD_DTYPE.names or () if name != "session"]
        self.named = ("phase", "endpoint_url", *_NUMBERED)
        self.numbers = tuple(name for name in recorded if name not in self.named)
        self._trace = _TRACE if http_trace else ()
        self.computed = ("clock_step", *self._trace)
        rest = [name for name in recorded if name not in LEADING_COLUMNS]
        self.order = (*LEADING_COLUMNS, *rest, *self.computed)

    def computed_arrays(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns that are not in records; `MISSING` where there is no value."""
        stepped = np.zeros(batch.size, bool) if self._stepped is None else self._stepped(batch)
        arrays = {"clock_step": stepped}
        if self._trace:
            sent, first = sending_end_ns(batch), batch["first_byte_ns"]
            stamps = (batch["start_ns"], sent, first, batch["end_ns"])
            for name, (begin, end) in zip(self._trace, pairwise(stamps), strict=True):
                known = (begin != MISSING) & (end != MISSING)
                arrays[name] = np.where(known, end - begin, MISSING)
        return arrays

    def hosts(self, batch: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the machine of each row: numbers, and the names that they stand for."""
        if self.names.worker_hosts:
            return batch["worker_id"], self.names.worker_hosts
        return np.zeros(batch.size, np.int8), (self.names.host_id,)

    def ids(self, batch: np.ndarray) -> dict[str, list[Any]]:
        """Return the ids of these rows, in the columns of exports."""
        return {
            "x_request_id": self._request_ids(batch),
            "session_id": self._session_ids(batch),
        }

    def split(self, batch: np.ndarray) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """Return the columns that hold one value in all these rows, and the others as lists.

        The id of the request is always among the others.
        """
        same: dict[str, Any] = {"host_id": self.names.host_id}
        varying = self.ids(batch)
        if self.names.worker_hosts:
            del same["host_id"]
            codes, hosts = self.hosts(batch)
            varying["host_id"] = _plain(codes, dict(enumerate(hosts)))
        arrays = {name: batch[name] for name in (*self.numbers, *self.named)}
        for name, array in (arrays | self.computed_arrays(batch)).items():
            names = dict(enumerate(self.names.of(name))) if name in self.named else None
            if array.size and (array == array[0]).all():
                same[name] = _plain(array[:1], names)[0]
            else:
                varying[name] = _plain(array, names)
        if varying["session_id"].count(None) == batch.size:
            del varying["session_id"]
            same["session_id"] = None
        return same, varying

    def lists(self, batch: np.ndarray) -> dict[str, list[Any]]:
        """Return each column as a list of plain values."""
        same, varying = self.split(batch)
        rows = batch.size
        return {n: varying[n] if n in varying else [same[n]] * rows for n in self.order}

    def arrays(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """Return each column as an array, masked where values are missing."""
        lists = self.lists(batch)
        numeric = {name: np.ascontiguousarray(batch[name]) for name in self.numbers}
        numeric |= self.computed_arrays(batch)
        made: dict[str, np.ndarray] = {}
        for name, values in lists.items():
            array = numeric.get(name)
            if array is None:
                array = np.empty(batch.size, dtype=object)
                array[:] = values
            missing = [value is None for value in values]
            made[name] = np.ma.array(array, mask=missing) if any(missing) else array
        return made

    def _request_ids(self, batch: np.ndarray) -> list[str]:
        run_id = self.names.run_id
        phases = batch["phase"]
        if batch.size and not (batch["turn"].any() or (phases != phases[0]).any()):
            prefix = make_request_id_prefix(run_id, int(phases[0]))
            pairs = zip(batch["schedule_index"].tolist(), batch["attempt"].tolist(), strict=True)
            return [f"{prefix}{index}-{attempt}" for index, attempt in pairs]
        places = (batch[n].tolist() for n in ("phase", "schedule_index", "attempt", "turn"))
        return [
            make_request_id(run_id, phase, index, attempt, max(turn, 0))
            for phase, index, attempt, turn in zip(*places, strict=True)
        ]

    def _session_ids(self, batch: np.ndarray) -> list[str | None]:
        prefix = f"{self.names.run_id}-s"
        return [None if n == MISSING else f"{prefix}{n}" for n in batch["session"].tolist()]


def _plain(values: np.ndarray, names: Mapping[int, str] | None) -> list[Any]:
    """Return numbers as a list, None where they are missing; or the names of the numbers."""
    plain: list[Any] = values.tolist()
    if names is not None:
        return [names.get(number) for number in plain]
    if values.dtype != np.bool_ and (values == MISSING).any():
        return [None if value == MISSING else value for value in plain]
    return plain
