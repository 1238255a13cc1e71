"""What a reader of a report must know of how its requests were sent."""

import pytest

from steelyard.domain.bench.plan import EndpointPlan, PhasePlan, Plan
from steelyard.domain.bench.plan_notes import endpoint_notes

TLS, PLAIN = "https://a.test", "http://b.test"


def notes(workers=1, **endpoint):
    plan = Plan(
        run_id="r", models=("m",), artifact_dir="/x", phases=(PhasePlan(name="p"),),
        endpoint=EndpointPlan(**endpoint), workers=workers,
    )  # fmt: skip
    return list(endpoint_notes(plan))


def test_unchecked_certificates_are_said():
    """Where there was one to check."""
    (note,) = notes(urls=(PLAIN, TLS), insecure=True)
    assert "--insecure" in note
    assert notes(urls=(PLAIN,), insecure=True) == []
    assert notes(urls=(TLS,)) == []


@pytest.mark.parametrize(
    ("workers", "urls", "said"), [(2, (TLS, PLAIN), 1), (1, (TLS, PLAIN), 0), (2, (TLS,), 0)]
)
def test_counting_per_worker_is_said_where_it_matters(workers, urls, said):
    """With several workers and several servers."""
    found = notes(workers, urls=urls, url_strategy="least_in_flight")
    assert len(found) == said
    assert all("2 workers" in note for note in found)
