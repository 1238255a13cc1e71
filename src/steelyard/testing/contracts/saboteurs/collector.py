"""Collectors with one fault each."""

import os
import sys
import threading
import time
from typing import Any

from steelyard.domain.track.ports import Noted
from steelyard.testing.contracts.collector import CollectorSubject


class Loads:
    """Conforms: the system's load, and how many processors there are."""

    period_s = 0.5

    def __init__(self) -> None:
        self.count = 0

    def validate_environment(self) -> None:
        """Nothing is needed."""

    def start(self) -> None:
        """Begin to count."""
        self.count = 0

    def facts(self) -> Noted:
        """Return what does not change."""
        return Noted({"cpus": os.cpu_count()}, {"system": os.name}, {"note.txt": b"none\n"})

    def collect(self) -> dict[str, Any]:
        """Return the load, and how often it was asked."""
        self.count += 1
        return {"load": {"1m": os.getloadavg()[0]}, "asked": self.count}

    def stop(self) -> None:
        """Nothing is held."""


class Sleeps(Loads):
    """Measures over a second, in the call."""

    def collect(self) -> dict[str, Any]:
        """As above, with the fault."""
        time.sleep(0.3)
        return super().collect()


class NamesGrow(Loads):
    """Has a counter in a name."""

    def collect(self) -> dict[str, Any]:
        """As above, with the fault."""
        return {**super().collect(), f"sample_{self.count}": 1}


class TellsAll(Loads):
    """Tells every process, as if there were few."""

    def collect(self) -> dict[str, Any]:
        """As above, with the fault."""
        return {**super().collect(), "processes": [{"cpu": n} for n in range(5000)]}


class Forgets(Loads):
    """Leaves a promised number out now and then."""

    def collect(self) -> dict[str, Any]:
        """As above, with the fault."""
        found = super().collect()
        return found if self.count % 3 else {"asked": self.count}


class Texts(Loads):
    """Returns numbers with their units."""

    def collect(self) -> dict[str, Any]:
        """As above, with the fault."""
        return {name: f"{value} W" for name, value in super().collect().items()}


class DumpsTheEnvironment(Loads):
    """Tells all variables, for reproducibility."""

    def facts(self) -> Noted:
        """As above, with the fault."""
        return Noted({"cpus": 1, "variables": dict(os.environ)})


class DumpsItInAFile(Loads):
    """Tells all variables in an artifact."""

    def facts(self) -> Noted:
        """As above, with the fault."""
        return Noted({"cpus": 1}, artifacts={"env.txt": repr(dict(os.environ)).encode()})


class PlainFacts(Loads):
    """Returns facts in a form of its own."""

    def facts(self) -> Any:
        """As above, with the fault."""
        return {"cpus": os.cpu_count()}


class NumbersAsTags(Loads):
    """Has numbers for tags."""

    def facts(self) -> Noted:
        """As above, with the fault."""
        tags: dict[str, Any] = {"cpus": os.cpu_count()}
        return Noted({"cpus": 1}, tags)


class LeavesAThread(Loads):
    """Starts a thread that nobody ends."""

    def start(self) -> None:
        """As above, with the fault."""
        super().start()
        threading.Thread(target=time.sleep, args=(5.0,), daemon=True).start()


class LeavesFiles(Loads):
    """Opens a file for each run."""

    kept: list[Any] = []  # noqa: RUF012  it is the fault

    def start(self) -> None:
        """As above, with the fault."""
        super().start()
        self.kept.append(open("/proc/self/stat", "rb"))  # noqa: SIM115, PTH123  it is the fault


class Prints(Loads):
    """Tells the terminal too."""

    def collect(self) -> dict[str, Any]:
        """As above, with the fault."""
        sys.stdout.write("collecting")
        return super().collect()


class MainThreadOnly(Loads):
    """Works in the script's own thread."""

    def collect(self) -> dict[str, Any]:
        """As above, with the fault."""
        if threading.current_thread() is not threading.main_thread():
            message = "signal only works in main thread"
            raise ValueError(message)
        return super().collect()


class Eager(Loads):
    """Wants to be asked all the time."""

    period_s = 0.001


def _subject(cls: Any) -> CollectorSubject:
    return CollectorSubject(cls, names=("load/1m", "asked"), facts=("cpus",))


HONEST = _subject(Loads)

_NUMBERS = "test_it_tells_numbers_by_name"
_SECRETS = "test_no_secret_is_told"
_FACTS = "test_facts_can_be_kept"
_LEFT = "test_nothing_is_left_behind"
SABOTEURS = [
    ("test_a_sample_is_quick", _subject(Sleeps)),
    ("test_names_do_not_grow_with_time", _subject(NamesGrow)),
    (_NUMBERS, _subject(TellsAll)),
    (_NUMBERS, _subject(Forgets)),
    (_NUMBERS, _subject(Texts)),
    (_SECRETS, _subject(DumpsTheEnvironment)),
    (_SECRETS, _subject(DumpsItInAFile)),
    (_FACTS, _subject(PlainFacts)),
    (_FACTS, _subject(NumbersAsTags)),
    (_LEFT, _subject(LeavesAThread)),
    (_LEFT, _subject(LeavesFiles)),
    ("test_it_prints_nothing", _subject(Prints)),
    ("test_it_works_in_a_thread", _subject(MainThreadOnly)),
    ("test_its_period_is_one", _subject(Eager)),
]
