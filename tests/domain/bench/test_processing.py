"""A processing result is a value."""

import pytest

from steelyard.domain.bench.processing import ProcessingResult


def test_a_result_is_frozen():
    """What a processor handed back can't be changed by whoever reads it."""
    result = ProcessingResult(success=True, record_count=3, metrics={"p50": 1.5})
    with pytest.raises(AttributeError):
        result.record_count = 4
    assert (result.record_count, result.errors) == (3, ())
