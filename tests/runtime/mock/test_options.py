"""Options that can't be served are refused with the flag's name."""

import pytest

from steelyard.kernel.errors import UsageError
from steelyard.runtime.mock.options import MockOptions, parse_faults


def test_faults_are_read_in_every_spelling() -> None:
    """Repeated, with commas, and a bare name for all requests."""
    assert parse_faults(["reset=0.1,hang=0.2", "split"]) == {"reset": 0.1, "hang": 0.2, "split": 1}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ttft_ms": -1.0}, "--ttft-ms"),
        ({"itl_ms": float("nan")}, "--itl-ms"),
        ({"ttft_dist": "normal"}, "--ttft-dist"),
        ({"fail_rate": 1.1}, "--fail-rate"),
        ({"tokens": 0}, "--tokens"),
        ({"tokens_per_chunk": 0}, "--tokens-per-chunk"),
        ({"error_status": 200}, "--error-status"),
        ({"faults": {"reset": 0.6}, "fail_rate": 0.6}, "at most 1"),
        ({"faults": {"hnag": 0.6}}, "Did you mean 'hang'?"),
    ],
)
def test_what_cannot_be_served_is_refused(wrong: dict, named: str) -> None:
    """The message names the flag and what would do."""
    with pytest.raises(UsageError) as caught:
        MockOptions(**wrong)
    assert named in str(caught.value)


def test_a_share_must_be_a_number() -> None:
    """`reset=often` is refused."""
    with pytest.raises(UsageError, match="reset=often"):
        parse_faults(["reset=often"])
