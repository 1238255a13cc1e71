"""How long to wait before trying again, and when to stop trying for a while."""

import math
from hashlib import blake2b

import msgspec

from steelyard.domain.fleet.model import Backoff, seconds

OPENS_AFTER = 3
"""Failures in a row after which a breaker opens."""
LONGEST_LOG10 = 15
"""A first wait that grew by more powers of ten than this has grown long enough."""
FIRST_S = 10.0
MAX_S = 600.0


def wait_ns(backoff: Backoff, tries: int, name: str) -> int:
    """Return the wait after this many tries.

    The drawn share comes from `name` and `tries`, so that a replay waits as long, and tasks that
    failed together are not tried again together.
    """
    steps = max(tries - 1, 0)
    is_long = steps * math.log10(max(backoff.factor, 1.0)) > LONGEST_LOG10
    whole_s = backoff.max_s
    if not is_long:  # the power of a float that is too large is an error
        whole_s = min(backoff.first_s * backoff.factor**steps, backoff.max_s)
    digest = blake2b(f"{name}/{tries}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    jitter = min(max(backoff.jitter, 0.0), 1.0)  # of more, a wait would be less than none
    return max(seconds(whole_s * (1 - jitter * share)), 0)


class Breaker(msgspec.Struct):
    """Holds work back from what keeps failing: closed, open for a while, then one try.

    Attributes:
        failures: in a row.
        open_until_ns: 0 when it is closed.
        trying: the one try after the while is under way.
    """

    failures: int = 0
    open_until_ns: int = 0
    trying: bool = False

    def allows(self, now_ns: int) -> bool:
        """Tell whether work may go there now."""
        if not self.open_until_ns:
            return True
        return now_ns >= self.open_until_ns and not self.trying

    def used(self) -> None:
        """Note that work went there; the only one, when it was open."""
        self.trying = bool(self.open_until_ns)

    def succeeded(self) -> None:
        """Note that something went well: closed."""
        self.failures, self.open_until_ns, self.trying = 0, 0, False

    def failed(self, now_ns: int) -> None:
        """Note a failure; opens after `OPENS_AFTER` in a row, each time for longer.

        What fails while it is open was begun before: that makes it no longer.
        """
        if self.open_until_ns > now_ns:
            return
        self.failures += 1
        self.trying = False
        over = self.failures - OPENS_AFTER
        if over >= 0:
            self.open_until_ns = now_ns + seconds(min(FIRST_S * 2.0 ** min(over, 20), MAX_S))

    def released(self) -> None:
        """Note that the try ended without telling anything."""
        self.trying = False
