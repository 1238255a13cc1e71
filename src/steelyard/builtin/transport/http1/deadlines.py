"""When an exchange has taken too long, and in which of its parts."""

from steelyard.domain.bench.plan import EndpointPlan
from steelyard.domain.bench.records import MISSING, ErrorKind
from steelyard.kernel.units import seconds_to_ns
from steelyard.runtime.exchange import Exchange

NEVER_NS = (1 << 63) - 1

_WORDS = {
    ErrorKind.TIMEOUT_CONNECT: "no connection within {} s",
    ErrorKind.TIMEOUT_FIRST_BYTE: "no byte of a response within {} s of the request",
    ErrorKind.TIMEOUT_IDLE: "no further byte of the response for {} s",
    ErrorKind.TIMEOUT_REQUEST: "no complete response within {} s",
}


class Deadlines:
    """The bounds on the parts of one request; 0 s stands for no bound.

    Attributes:
        least_ns: the shortest of them. Nothing that begins now is over its time before then.
    """

    def __init__(self, plan: EndpointPlan) -> None:
        self._limits_s = {
            ErrorKind.TIMEOUT_CONNECT: plan.connect_timeout_s,
            ErrorKind.TIMEOUT_FIRST_BYTE: plan.first_byte_timeout_s,
            ErrorKind.TIMEOUT_IDLE: plan.idle_timeout_s,
            ErrorKind.TIMEOUT_REQUEST: plan.request_timeout_s,
        }
        limits_ns = {
            kind: seconds_to_ns(limit_s) if limit_s > 0 else NEVER_NS
            for kind, limit_s in self._limits_s.items()
        }
        self._connect_ns = limits_ns[ErrorKind.TIMEOUT_CONNECT]
        self._first_byte_ns = limits_ns[ErrorKind.TIMEOUT_FIRST_BYTE]
        self._idle_ns = limits_ns[ErrorKind.TIMEOUT_IDLE]
        self._request_ns = limits_ns[ErrorKind.TIMEOUT_REQUEST]
        self.least_ns = min(limits_ns.values())

    def connecting(self, exchange: Exchange, began_ns: int) -> tuple[int, ErrorKind]:
        """Return when an exchange without a connection is over its time, and what that is."""
        whole = (exchange.submitted_ns + self._request_ns, ErrorKind.TIMEOUT_REQUEST)
        return min((began_ns + self._connect_ns, ErrorKind.TIMEOUT_CONNECT), whole)

    def under_way(self, exchange: Exchange, seen_ns: int) -> tuple[int, ErrorKind]:
        """Return the same of one that was sent.

        Args:
            exchange: on a connection.
            seen_ns: when the last of it arrived.
        """
        whole = (exchange.submitted_ns + self._request_ns, ErrorKind.TIMEOUT_REQUEST)
        if exchange.first_byte_ns == MISSING:
            part = (exchange.start_ns + self._first_byte_ns, ErrorKind.TIMEOUT_FIRST_BYTE)
        else:
            part = (seen_ns + self._idle_ns, ErrorKind.TIMEOUT_IDLE)
        return min(part, whole)

    def text(self, kind: ErrorKind) -> str:
        """Return what to say of an exchange that is over this bound."""
        return _WORDS[kind].format(f"{self._limits_s[kind]:g}")
