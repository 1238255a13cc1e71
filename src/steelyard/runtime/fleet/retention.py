"""How long a fleet keeps what is over."""

import msgspec

from steelyard.kernel.units import NS_PER_S

_S_PER_DAY = 86_400
_GB = 1_000_000_000


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a fleet keeps what is over; 0 keeps for ever. What is not over is never removed.

    Attributes:
        days: tasks that have ended, with their attempts, decisions and events, in the ledger; and
            the journal. A task that is forgotten is as if it had never been: its id is new again.
        output_days: what attempts wrote, in the fleet's directory.
        output_gb: that altogether, in 10^9 bytes on the disk; the longest ended go first.
        journal_gb: the journal; the oldest parts go first.
        every_s: how often the coordinator looks.
    """

    days: float = 90.0
    output_days: float = 30.0
    output_gb: float = 50.0
    journal_gb: float = 5.0
    every_s: float = 1_800.0

    def before_ns(self, now_ns: int, days: float) -> int:
        """Return the Unix time before which what ended is to go, 0 for never."""
        return max(now_ns - int(days * _S_PER_DAY * NS_PER_S), 0) if days else 0

    @property
    def output_bytes(self) -> int:
        """`output_gb` in bytes."""
        return int(self.output_gb * _GB)

    @property
    def journal_bytes(self) -> int:
        """`journal_gb` in bytes."""
        return int(self.journal_gb * _GB)
