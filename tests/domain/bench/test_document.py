"""The document that others script against."""

import json
import math

import pytest

from steelyard.domain.bench.document import metric_document, number_document, summary_document
from steelyard.domain.bench.summary import MetricSummary
from steelyard.testing.contracts.sample_run import sample_summary

NUMBERS = ["avg", "min", "max", "std", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99"]


def test_a_metric_has_every_number_by_name_even_when_there_is_none():
    document = metric_document(MetricSummary(tag="x", header="X", unit="ms", avg=2.0, count=1))
    assert list(document)[:16] == ["unit", *NUMBERS, "count", "error_bar"]
    assert (document["unit"], document["avg"], document["count"]) == ("ms", 2.0, 1)
    assert document["p99"] is None
    assert document["error_bar"] is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1.5),
        (None, None),
        (math.nan, None),
        (math.inf, {"value": None, "non_finite": "+inf"}),
        (-math.inf, {"value": None, "non_finite": "-inf"}),
    ],
)
def test_never_answered_is_not_the_same_as_unknown(value, expected):
    assert number_document(value) == expected


def test_the_summary_has_the_keys_that_were_promised():
    document = summary_document(sample_summary("run", failed=True))
    promised = ["schema_version", "verdict", "metrics", "config", "run", "errors"]
    assert list(document)[:6] == promised
    assert document["verdict"]["status"] == "INVALID"
    assert document["verdict"]["causes"][0]["code"] == "error_rate"
    assert json.loads(json.dumps(document, allow_nan=False)) == document
