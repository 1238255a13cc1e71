"""Runs of tasks that are not there whole, because whoever was to write them was killed before."""

import time
from hashlib import blake2b

from steelyard.domain.fleet.model import TaskSpec
from steelyard.domain.track.run import Status
from steelyard.kernel.errors import JournalError
from steelyard.kernel.ids import make_run_id
from steelyard.runtime.fleet.ledger_queries import LedgerQueries
from steelyard.runtime.host_facts import host_id
from steelyard.runtime.track.layout import RunPlace, Store
from steelyard.runtime.track.reader import has_writer, read_run

LOOKED_AT = 1_000
"""Tasks that ended last, of which one without a run is looked for."""
ELSEWHERE_S = 600.0
"""A writer on another host that wrote nothing for so long is dead: its lock may not show here."""


def run_id_of(spec: TaskSpec) -> str:
    """Return the id of a task's run."""
    digest = blake2b(spec.task_id.encode(), digest_size=8).digest()
    return f"{make_run_id(spec.submitted_ns, digest)}{digest[3:].hex()}"


def is_cut_off(place: RunPlace) -> bool:
    """Tell whether a run was begun and never ended, and its writer is surely dead.

    One that can't be read is not: a later version may have written it.
    """
    if has_writer(place.journal):
        return False
    files = list(place.journal.iterdir()) if place.journal.is_dir() else []
    if not any(file.stat().st_size for file in files):
        return True  # it did not come to its first line
    try:
        run = read_run(place)
    except JournalError:
        return False
    if run.status != Status.KILLED:
        return False
    silent_s = time.time() - max(file.stat().st_mtime for file in files)
    return run.host_id == host_id() or silent_s > ELSEWHERE_S


def unwritten(queries: LedgerQueries, directory: str) -> list[str]:
    """Return the tasks that ended last and have no whole run, the first first.

    Runs are written in the order of ends, so that those before a whole one are there. A store that
    knows none of `LOOKED_AT` tasks is new: what ended before it is not its business.

    Args:
        queries: of the ledger.
        directory: the store.

    Raises:
        FileError, LedgerGoneError: the ledger can't be read.
    """
    store, is_known = Store.of(directory), False
    found: list[str] = []
    for spec in queries.latest_ended(LOOKED_AT):
        place = store.place(run_id_of(spec))
        is_there = place.path.exists()
        if is_there and not is_cut_off(place):
            return found[::-1]
        is_known = is_known or is_there
        found.append(spec.task_id)
    return found[::-1] if is_known else []
