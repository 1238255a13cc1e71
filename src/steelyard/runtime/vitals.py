"""Is a silent service busy, or hung? Decided from its heartbeats and from what the kernel says.

Heartbeats come from a service's own event loop, so they prove that it can answer. A loop that is
busy for long (a big report, a starved machine) misses them without being dead. Therefore the
kernel is the second witness: a silent process that burns CPU, waits for a CPU or for a disk is
busy and gets `busy_limit_ns`; one that is stopped, or sleeps, will not speak again and is hung.
A heartbeat thread in each role would have said less (a thread beats on while the loop is
deadlocked) and would take the interpreter lock from the measuring loop several times a second.

What this can't tell: a loop blocked in a plain `sleep` or a lock looks hung after `limit_ns`, as
it should; a deadlocked loop beside another thread that burns CPU looks busy.
"""

from collections import deque
from dataclasses import dataclass, field

from steelyard.kernel.units import NS_PER_S

HEARTBEAT_LIMIT_NS = 1_500_000_000
REMOTE_LIMIT_NS = 4 * NS_PER_S
"""Of a service on another machine, whose heartbeats a network may lose and send again."""
BUSY_LIMIT_NS = 60 * NS_PER_S
SAMPLES_MAX = 5

_BUSY_TICKS = 2
_STOPPED = "Tt"
_WORKING = "RD"


@dataclass(slots=True)
class Vitals:
    """The life signs of one service. Times are CLOCK_MONOTONIC nanoseconds."""

    last_seen_ns: int
    limit_ns: int = HEARTBEAT_LIMIT_NS
    busy_limit_ns: int = BUSY_LIMIT_NS
    was_busy: bool = False
    _cpu_ticks: deque[int] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))

    def seen(self, now_ns: int) -> None:
        """A message of the service arrived."""
        self.last_seen_ns = now_ns
        self.was_busy = False
        self._cpu_ticks.clear()

    def excuse(self, now_ns: int) -> None:
        """The watcher itself was late: silence until now proves nothing."""
        self.last_seen_ns = max(self.last_seen_ns, now_ns - self.limit_ns // 2)

    def silent(self, now_ns: int) -> bool:
        """Return True when it is time to ask the kernel, at every look from then on."""
        return now_ns - self.last_seen_ns > self.limit_ns // 3

    def judge(self, now_ns: int, state: str, cpu_ticks: int) -> str | None:
        """Return why the service counts as hung, or None.

        Args:
            now_ns: the time of the look.
            state: the state letter of /proc/PID/stat.
            cpu_ticks: CPU time it has used, in clock ticks (10 ms).
        """
        self._cpu_ticks.append(cpu_ticks)
        silence_ns = now_ns - self.last_seen_ns
        if silence_ns <= self.limit_ns:
            return None
        words = f"no heartbeat for {silence_ns / NS_PER_S:.1f} s"
        if state in _STOPPED:
            return f"{words}, its process is stopped"
        working = state in _WORKING or cpu_ticks - self._cpu_ticks[0] >= _BUSY_TICKS
        if not working:
            return f"{words}, its process sleeps"
        if silence_ns > self.busy_limit_ns:
            return f"{words}, though its process is working"
        self.was_busy = True
        return None
