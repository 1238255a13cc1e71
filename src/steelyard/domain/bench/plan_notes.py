"""What a reader of a report must know of how its requests were sent."""

from collections.abc import Iterator

from steelyard.domain.bench.balance import LEAST_IN_FLIGHT
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.targets import parse_target


def endpoint_notes(plan: Plan) -> Iterator[str]:
    """Return a sentence for each choice that weakens a check or depends on the workers."""
    endpoint = plan.endpoint
    if endpoint.insecure and any(parse_target(url).tls for url in endpoint.urls):
        yield "TLS certificates were not checked (--insecure): who answered is not certain."
    balanced = endpoint.url_strategy == LEAST_IN_FLIGHT and len(endpoint.urls) > 1
    if balanced and plan.workers > 1:
        yield (
            f"least_in_flight: each of the {plan.workers} workers counted its own requests only."
        )
