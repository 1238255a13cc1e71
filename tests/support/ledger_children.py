"""Real coordinators to kill and to stop: each commits and says what was acknowledged."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection

from ledger_rig import step

from steelyard.runtime.fleet import ledger as ledger_module
from steelyard.runtime.fleet.ledger import SqlLedger
from steelyard.runtime.fleet.ledger_leadership import TTL_S
from steelyard.runtime.fleet.ports import Change, Happened, LostLeadershipError

_SPAWN = multiprocessing.get_context("spawn")
_FORK = multiprocessing.get_context("fork")
ANSWER_S = 60.0


def width(number):
    """Return how many tasks the change of that number has: 1 to 40, as if by chance."""
    return 1 + number * 7919 % 40


def commit_without_end(place, acks):
    ledger = SqlLedger(place)
    ledger.lead(f"process {os.getpid()}", wait_s=ANSWER_S)
    number = ledger.load().next_token
    while True:
        ledger.commit(step(number, width(number)))
        acks.send(number)
        number += 1


class Nursery:
    """A warm process that has coordinators: a new one is at work after milliseconds.

    Attributes:
        acks: the numbers that they were told are committed.
    """

    def __init__(self, place):
        self.acks, theirs = _SPAWN.Pipe(duplex=False)
        self._orders, orders = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_nurse, args=(orders, theirs, place), daemon=False)
        self._process.start()
        orders.close()
        theirs.close()

    def born(self):
        """Have a coordinator; return its process id."""
        self._orders.send("have one")
        return self._answer()

    def kill(self, pid):
        """Kill it as `kill -9` does; return once it is gone."""
        os.kill(pid, signal.SIGKILL)
        self._orders.send("is it gone")
        assert self._answer() == -signal.SIGKILL

    def _answer(self):
        assert self._orders.poll(ANSWER_S), "the nursery does not answer"
        return self._orders.recv()

    def close(self):
        self._orders.close()
        self._process.join(ANSWER_S)


def _nurse(orders: Connection, acks: Connection, place: str) -> None:
    child = None
    while True:
        try:
            order = orders.recv()
        except EOFError:
            return
        if order == "have one":
            child = _FORK.Process(target=commit_without_end, args=(place, acks))
            child.start()
            orders.send(child.pid)
        else:
            child.join()
            orders.send(child.exitcode)


def signed(number, owner, epoch):
    """Return a change that says who made it."""
    signature = {"number": number, "owner": owner, "epoch": epoch}
    whole = step(number)
    return Change(
        tasks=whole.tasks, next_token=number + 1,
        happened=(Happened(at_ns=1, name="signed", arguments=signature),),
    )  # fmt: skip


def coordinate(place, owner, pipe, ttl_s, stops_within):
    """Lead as soon as it may, and commit until another leads; tell of everything.

    With `stops_within` it stops itself (SIGSTOP) in the midst of the transaction of that number.
    """
    whole = ledger_module._put
    commits = []

    def put(connection, table, rows, changes):
        whole(connection, table, rows, changes)
        if table.name == "fleet_tasks":
            commits.append(1)
            if len(commits) == stops_within:
                os.kill(os.getpid(), signal.SIGSTOP)

    ledger_module._put = put
    ledger = SqlLedger(place)
    epoch = ledger.lead(owner, ttl_s or TTL_S, wait_s=ANSWER_S).epoch
    number = ledger.load().next_token
    pipe.send(("leads", epoch))
    try:
        while True:
            ledger.commit(signed(number, owner, epoch))
            pipe.send(("acknowledged", number))
            number += 1
    except LostLeadershipError as error:
        pipe.send(("lost", str(error)))


class Coordinator:
    """A real process that runs `coordinate`."""

    def __init__(self, place, owner, ttl_s=0.0, stops_within=0):
        self._pipe, theirs = _SPAWN.Pipe(duplex=False)
        arguments = (place, owner, theirs, ttl_s, stops_within)
        self.process = _SPAWN.Process(target=coordinate, args=arguments, daemon=True)
        self.process.start()
        theirs.close()
        self.acknowledged = []

    def signal(self, number):
        os.kill(self.process.pid, number)

    def said(self, within_s=ANSWER_S):
        """Return the next thing it says, `None` when it says nothing."""
        if not self._pipe.poll(within_s):
            return None
        kind, value = self._pipe.recv()
        if kind == "acknowledged":
            self.acknowledged.append(value)
        return kind, value

    def until(self, wanted):
        """Return what it said of that kind, after all that it said before."""
        while True:
            kind, value = self.said()
            if kind == wanted:
                return value

    def end(self):
        self.process.kill()
        self.process.join(ANSWER_S)
        self._pipe.close()
