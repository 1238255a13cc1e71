"""Section `otel`: results of requests and phases, streamed to an OpenTelemetry collector."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import lower, parse_tags, split_list
from steelyard.app.config.section import Section

METRICS_PATH = "/v1/metrics"


def _lowered(value: object) -> object:
    return [lower(item) for item in value] if isinstance(value, list | tuple) else value


def metrics_url(value: str | None) -> str | None:
    """Return a collector's full URL for metrics, of a HOST:PORT or of a URL."""
    return None if value is None else collector_url(value, METRICS_PATH)


def collector_url(value: str, path: str) -> str:
    """Return a collector's full URL for one kind of telemetry; `path` is where none is given.

    Raises:
        ValueError: it is neither HOST:PORT nor a URL, or names a user.
    """
    parts = urlsplit(value if "://" in value else f"http://{value}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("HOST:PORT or a URL of a collector")
    if "@" in parts.netloc:
        raise ValueError("a URL without user and password; OTEL_EXPORTER_OTLP_HEADERS holds them")
    return parts._replace(path=parts.path.rstrip("/") or path).geturl()


class OtelConfig(Section):
    """Streaming to a collector; without a URL there is none."""

    url: Annotated[
        str | None,
        AfterValidator(metrics_url),
        Flag(("--otel-url",), Groups.TRACK, metavar="URL"),
        Field(
            description="Collector that is told of requests and phases while the load runs, by "
            "OTLP over HTTP: HOST:PORT, or its full URL for metrics."
        ),
    ] = None
    stream: Annotated[
        tuple[Literal["metrics", "timing", "default"], ...],
        BeforeValidator(_lowered),
        BeforeValidator(split_list),
        Flag(("--stream",), Groups.TRACK),
        Field(
            description="What the collector is told: metrics of each request (histograms), timing "
            "of phases (counters), or by default both."
        ),
    ] = ("default",)
    resource_attributes: Annotated[
        dict[str, str],
        BeforeValidator(parse_tags),
        Flag(("--otel-resource-attributes",), Groups.TRACK, metavar="KEY=VALUE"),
        Field(description="Attributes of everything that is told."),
    ] = Field(default_factory=dict)
