"""Sections `load`, `warmup` and `phases`: how much is sent, at what beat, for how long."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import lower
from steelyard.app.config.section import (
    Count,
    GraceSeconds,
    OptionalSeconds,
    Percent,
    PositiveFloat,
    Seconds,
    Section,
)

LOAD = Groups.LOAD_GENERATOR


class RatePoint(Section):
    """A point of a series of rates."""

    time_s: Annotated[OptionalSeconds, Field(description="When, after a ramp of the rate.")]
    qps: Annotated[PositiveFloat, Field(description="Requests per second there.")]


class LoadConfig(Section):
    """A load: closed loop (`concurrency` alone) or open loop (`request_rate`).

    Of the section `warmup`, fields that are not set take the value of `load`.
    """

    concurrency: Annotated[
        Count | None,
        Flag(("--concurrency",), LOAD, warmup=("--warmup-concurrency",), unit="requests"),
        Field(
            description="Requests in flight: kept at this number, or with a rate at most this many."
        ),
    ] = None
    concurrency_ramp: Annotated[
        OptionalSeconds | None,
        Flag(
            ("--concurrency-ramp-duration",),
            LOAD,
            warmup=("--warmup-concurrency-ramp-duration",),
            unit="s",
        ),
        Field(description="How long the concurrency takes to grow from 1 to its value."),
    ] = None
    prefill_concurrency: Annotated[
        Count | None,
        Flag(
            ("--prefill-concurrency",),
            LOAD,
            warmup=("--warmup-prefill-concurrency",),
            unit="requests",
        ),
        Field(description="At most this many requests may wait for their first token."),
    ] = None
    prefill_concurrency_ramp: Annotated[
        OptionalSeconds | None,
        Flag(
            ("--prefill-concurrency-ramp-duration",),
            LOAD,
            warmup=("--warmup-prefill-concurrency-ramp-duration",),
            unit="s",
        ),
        Field(description="How long the prefill concurrency takes to grow from 1 to its value."),
    ] = None
    request_rate: Annotated[
        PositiveFloat | None,
        Flag(("--request-rate",), LOAD, warmup=("--warmup-request-rate",), unit="requests/s"),
        Field(description="Requests sent per second, whatever the server does."),
    ] = None
    request_rate_ramp: Annotated[
        OptionalSeconds | None,
        Flag(
            ("--request-rate-ramp-duration",),
            LOAD,
            warmup=("--warmup-request-rate-ramp-duration",),
            unit="s",
        ),
        Field(
            description="How long the request rate takes to grow from 0 to its value; the arrivals "
            "keep their pattern under the growing rate."
        ),
    ] = None
    request_rate_series: Annotated[
        str | tuple[RatePoint, ...] | None,
        Flag(("--request-rate-series",), LOAD, metavar="PATH"),
        Field(
            description="A rate that changes, instead of a request rate: a JSON file with a list "
            'of points such as `{"time_s": 10, "qps": 50}`, or in a configuration file the points '
            "themselves. The rate runs straight from point to point, after a ramp to the first."
        ),
    ] = None
    ramp_strategy: Annotated[
        str | None,
        BeforeValidator(lower),
        Flag(("--ramp-strategy",), LOAD, warmup=("--warmup-ramp-strategy",), metavar="NAME"),
        Field(
            description="How all of the phase's ramps grow: linear (the default), exponential "
            "(slowly at first), poisson (in steps at random times) or another ramp plugin."
        ),
    ] = None
    arrival_pattern: Annotated[
        str | None,
        BeforeValidator(lower),
        Flag(
            ("--arrival-pattern", "--request-rate-mode"),
            LOAD,
            warmup=("--warmup-arrival-pattern",),
            metavar="NAME",
        ),
        Field(
            description="Beat of a request rate: constant, poisson (the default), gamma or another "
            "arrival plugin; concurrency_burst sends as fast as the concurrency allows."
        ),
    ] = None
    arrival_smoothness: Annotated[
        PositiveFloat | None,
        Flag(
            ("--arrival-smoothness", "--vllm-burstiness"),
            LOAD,
            warmup=("--warmup-arrival-smoothness",),
        ),
        Field(
            description="Shape of gamma arrivals: 1 is Poisson, less is burstier, more is smoother."
        ),
    ] = None
    request_count: Annotated[
        Count | None,
        Flag(
            ("--request-count", "--num-requests"),
            LOAD,
            warmup=("--warmup-request-count", "--num-warmup-requests"),
            unit="requests",
        ),
        Field(
            description="Ends the phase after this many requests. Without a count and a duration, "
            "the larger of 10 and twice the concurrency."
        ),
    ] = None
    sessions: Annotated[
        Count | None,
        Flag((), LOAD, warmup=("--num-warmup-sessions",), unit="conversations"),
        Field(
            description="Ends the phase after this many conversations, each with all of its turns; "
            "of a run's one profiling phase, --num-conversations without a count or a duration."
        ),
    ] = None
    duration: Annotated[
        Seconds | None,
        Flag(("--benchmark-duration",), LOAD, warmup=("--warmup-duration",), unit="s"),
        Field(description="Ends the phase after this time."),
    ] = None
    grace_period: Annotated[
        GraceSeconds | None,
        Flag(("--benchmark-grace-period",), LOAD, warmup=("--warmup-grace-period",), unit="s"),
        Field(
            description="How long requests in flight may still take after a duration has ended; "
            "inf is a day. 30 by default; a warm-up waits for the request timeout."
        ),
    ] = None
    fixed_schedule: Annotated[
        bool | None,
        Flag(("--fixed-schedule",), Groups.FIXED_SCHEDULE),
        Field(
            description="Begin each conversation at its timestamp in the input file; a concurrency "
            "is then a ceiling. Without a word, on for the one profiling phase of a mooncake_trace "
            "whose first line has a timestamp; --no-fixed-schedule ignores the timestamps."
        ),
    ] = None
    cancellation_rate: Annotated[
        Percent | None,
        Flag(("--request-cancellation-rate",), Groups.REQUEST_CANCELLATION, unit="percent"),
        Field(
            description="Share of the requests that are given up on purpose, in percent; they are "
            "counted as cancelled, not as failed."
        ),
    ] = None
    cancellation_delay: Annotated[
        OptionalSeconds | None,
        Flag(("--request-cancellation-delay",), Groups.REQUEST_CANCELLATION, unit="s"),
        Field(
            description="How long after a request was sent it is given up; 0, the default, sends "
            "all of it and disconnects at once."
        ),
    ] = None


class PhaseConfig(LoadConfig):
    """One named phase of a plan; phases run in the order of the file."""

    name: Annotated[
        str,
        Field(
            description="Names the phase in reports; unique.",
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$",
        ),
    ]
    kind: Annotated[
        Literal["warmup", "profiling"] | None,
        BeforeValidator(lower),
        Field(
            description="Records of a warmup phase are kept out of the metrics. Without it, a "
            "phase named warmup is one."
        ),
    ] = None
    options: Annotated[
        dict[str, Any],
        Field(description="Options of the phase's arrival plugin."),
    ] = Field(default_factory=dict)
