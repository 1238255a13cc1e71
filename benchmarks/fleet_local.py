"""What the fleet's local engine costs an attempt, beside starting the same program bare.

    python benchmarks/fleet_local.py [--attempts 300] [--slots 4] [--rounds 3]

Prints a Markdown table. The bare reference starts `/bin/true` and waits for it, as many at once,
with nothing around it: no group, limits, logs, timeout or directory. Both take turns in one run,
and medians are told. Below are how long a cancelled attempt that ignores SIGTERM takes to end with
all that it started, and how long a worker's death by SIGKILL takes to be told.
"""

import argparse
import asyncio
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable

from steelyard.domain.fleet.model import Ending, Lease, TaskSpec
from steelyard.domain.fleet.ports import EngineEvent
from steelyard.runtime.fleet.local_engine import LocalEngine

CANCELS = 10
STUBBORN = "trap '' TERM; sleep 60 & setsid sleep 60 & while :; do sleep 1; done"


class Bench:
    """An engine, and the tokens given out."""

    def __init__(self, engine: LocalEngine) -> None:
        self.engine = engine
        self.token = 0

    async def submit(self, payload: dict[str, object]) -> Lease:
        """Submit a command."""
        self.token += 1
        name = f"t{self.token}"
        lease = Lease(task_id=name, worker_id="local", attempt=1, token=self.token)
        await self.engine.submit(lease, TaskSpec(task_id=name, kind="command", payload=payload))
        return lease

    async def until(self, condition: Callable[[EngineEvent], bool]) -> EngineEvent:
        """Return the first event of a kind."""
        while not condition(event := await self.engine.next_event()):
            continue
        return event

    async def throughput(self, attempts: int, slots: int) -> float:
        """Return attempts a second, all of them successes."""
        begun_s = time.perf_counter()
        given = done = 0
        while done < attempts:
            while given < attempts and given - done < slots:
                await self.submit({"argv": ["/bin/true"]})
                given += 1
            event = await self.until(lambda e: e.kind == "ended")
            if event.outcome is None or event.outcome.ending is not Ending.SUCCEEDED:
                raise SystemExit(f"an attempt came to {event.outcome}")
            done += 1
        return attempts / (time.perf_counter() - begun_s)

    async def cancel(self) -> float:
        """Return how many seconds a stubborn attempt takes to end."""
        lease = await self.submit({"shell": STUBBORN})
        await self.until(lambda e: e.kind == "started")
        await asyncio.sleep(0.1)
        begun_s = time.perf_counter()
        await self.engine.cancel(lease)
        await self.until(lambda e: e.kind == "ended")
        return time.perf_counter() - begun_s

    async def death(self) -> float:
        """Return how many seconds it takes to tell that a busy worker was killed."""
        await self.submit({"shell": STUBBORN})
        await self.until(lambda e: e.kind == "started")
        (pid,) = self.engine.pids.values()
        begun_s = time.perf_counter()
        os.kill(pid, signal.SIGKILL)
        await self.until(lambda e: e.kind == "worker_died")
        return time.perf_counter() - begun_s


async def bare(attempts: int, slots: int) -> float:
    """Return programs a second that are started and waited for, and nothing else."""

    def some(count: int) -> None:
        for _ in range(count):
            os.waitpid(os.posix_spawn("/bin/true", ["/bin/true"], {}), 0)

    begun_s = time.perf_counter()
    await asyncio.gather(*(asyncio.to_thread(some, attempts // slots) for _ in range(slots)))
    return attempts // slots * slots / (time.perf_counter() - begun_s)


async def main(attempts: int, slots: int, rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        engine = LocalEngine(directory=directory, slots=slots, detect=False)
        await engine.start()
        bench = Bench(engine)
        await bench.throughput(slots * 2, slots)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(await bench.throughput(attempts, slots))
            theirs.append(await bare(attempts, slots))
        cancels = [await bench.cancel() for _ in range(CANCELS)]
        death_s = await bench.death()
        await engine.stop()
    ratio = statistics.median(theirs) / statistics.median(ours)
    print("| what | value |\n|---|---|")
    print(f"| attempts of `/bin/true` a second, {slots} at once | {statistics.median(ours):.0f} |")
    print(f"| bare starts a second | {statistics.median(theirs):.0f} |")
    print(f"| an attempt costs so many bare starts | {ratio:.1f} |")
    print(f"| cancel of what ignores SIGTERM, median | {statistics.median(cancels):.2f} s |")
    print(f"| cancel, longest of {CANCELS} | {max(cancels):.2f} s |")
    print(f"| a worker's death is told after | {death_s:.2f} s |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the fleet's local engine.")
    parser.add_argument("--attempts", type=int, default=300)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    asyncio.run(main(given.attempts, given.slots, given.rounds))
