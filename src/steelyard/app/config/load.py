"""Sections `load`, `warmup` and `phases`: how much is sent, at what beat, for how long."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import lower
from steelyard.app.config.section import Count, GraceSeconds, PositiveFloat, Seconds, Section

LOAD = Groups.LOAD_GENERATOR


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
    request_rate: Annotated[
        PositiveFloat | None,
        Flag(("--request-rate",), LOAD, warmup=("--warmup-request-rate",), unit="requests/s"),
        Field(description="Requests sent per second, whatever the server does."),
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
