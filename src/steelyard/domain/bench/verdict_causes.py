"""The causes that a verdict can name: when each is given, and what to do about it.

This table is what `docs/reference/verdict.md` shows; a test holds the two together.
"""

from types import MappingProxyType
from typing import NamedTuple

VALID = "VALID"
SUSPECT = "SUSPECT"
INVALID = "INVALID"


class CauseKind(NamedTuple):
    """What is fixed about a cause.

    Attributes:
        statuses: those that it asks for, the milder first.
        when: what has to be so, in words.
        next_step: what a person can do; the end of its message.
    """

    statuses: tuple[str, ...]
    when: str
    next_step: str


CAUSES = MappingProxyType(
    {
        "client_cpu": CauseKind(
            (SUSPECT, INVALID),
            "a worker used a core, or was ready to run without one, for more than 80 % (97 %) of "
            "the time",
            "Let the machine be idle, add --workers or ask for less load.",
        ),
        "send_lag": CauseKind(
            (SUSPECT, INVALID),
            "the p99 of our own send lag is above a tenth of the median latency (its median above "
            "half of it), 1 ms at the least",
            "Let the machine be idle, add --workers, raise the limit that holds sends back where "
            "one is named, or ask for less load.",
        ),
        "rate_missed": CauseKind(
            (SUSPECT, INVALID),
            "an open-loop phase sent less than 98 % (90 %) of its rate, and ended more than 50 ms "
            "late",
            "Raise the limit that holds sends back where one is named; else let the machine be "
            "idle, add --workers or lower --request-rate.",
        ),
        "coalesced_stamps": CauseKind(
            (SUSPECT,),
            "more than 1 % of the content chunks came in one read with another",
            "Trust latencies and throughput, not the gaps between chunks; does the server, or a "
            "proxy, send chunks in bursts?",
        ),
        "clock_stepped": CauseKind(
            (SUSPECT,),
            "the wall clock was set, not slewed, during the run",
            "Let time synchronisation slew the clock, and run again.",
        ),
        "token_mismatch": CauseKind(
            (SUSPECT,),
            "more than 10 % of the answers are over 5 % (and more than a token) longer or shorter "
            "than asked for; or of the prompts, over 5 % (and more than 32 tokens) by the server's "
            "count than by a --tokenizer that was named, the built-in one being no model's",
            "Have the server ignore its stop token (such as --extra-inputs ignore_eos:true), or "
            "ask for lengths that it gives.",
        ),
        "too_few_samples": CauseKind(
            (SUSPECT,),
            "fewer than 100 requests succeeded",
            "Raise --request-count or --benchmark-duration.",
        ),
        "high_error_rate": CauseKind(
            (SUSPECT, INVALID),
            "more than 1 % (50 %) of the requests failed",
            "Mend what the errors name, or ask for less load.",
        ),
        "all_failed": CauseKind(
            (INVALID,),
            "requests were sent and none succeeded",
            "Try one request by hand, such as with curl, and see the errors.",
        ),
        "all_cancelled": CauseKind(
            (INVALID,),
            "requests were sent and all were given up: on purpose, by a person who stopped the "
            "run, or as their time was over",
            "Raise --benchmark-duration or --benchmark-grace-period.",
        ),
        "no_records": CauseKind(
            (INVALID,),
            "no request of a profiling phase is in the journal",
            "See logs/steelyard.log beside the report.",
        ),
        "worker_lost": CauseKind(
            (INVALID,),
            "a worker ended, hung or was killed; what it had in flight is lost, the others took "
            "over what it had not sent",
            "See logs/steelyard.log beside the report, and run again.",
        ),
        "service_lost": CauseKind(
            (SUSPECT, INVALID),
            "another role ended, hung or was killed; SUSPECT when load and records are whole "
            "without it",
            "See logs/steelyard.log beside the report, and run again.",
        ),
        "cancelled_by_user": CauseKind(
            (SUSPECT,),
            "Ctrl-C or SIGTERM",
            "Run again to its end for figures of the whole load.",
        ),
        "interrupted": CauseKind(
            (SUSPECT,),
            "the journal has no end: the controller was killed",
            "Run again to its end for figures of the whole load.",
        ),
        "ended_early": CauseKind(
            (SUSPECT,),
            "the run could not go on, such as without its dataset or its records manager",
            "See logs/steelyard.log beside the report, and run again.",
        ),
        "journal_damaged": CauseKind(
            (SUSPECT,),
            "a part of the journal can't be read, and was left out",
            "Was the disk full, or the machine reset? Run again.",
        ),
        "phase_timeout": CauseKind(
            (SUSPECT,),
            "a profiling phase's grace ended with requests in flight",
            "Raise --benchmark-grace-period.",
        ),
    }
)
"""By code."""
