"""Values that come again: told by what is there."""

import json
import resource
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.backend.clearml.offline import ClearmlOfflineBackend, MetricsFile, overlap
from steelyard.kernel.errors import PluginError, SteelyardError
from steelyard.testing.contracts.backend import points


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [("", "ab", 0), ("ab", "cd", 0), ("xab", "abc", 2), ("abab", "abab", 4), ("aab", "abc", 2)],
)
def test_what_is_there_is_at_the_end_of_what_was_written(before, after, count):
    assert overlap(before, after) == count


@given(st.lists(st.integers()), st.lists(st.integers()))
def test_without_what_is_there_nothing_is_missing_and_nothing_twice(before, after):
    count = overlap(before, after)
    assert after[:count] == before[len(before) - count :]
    longest = max(n for n in range(len(after) + 1) if before[len(before) - n :] == after[:n])
    assert count == longest


def test_it_must_be_open_to_log(tmp_path):
    with pytest.raises(PluginError, match="not open"):
        ClearmlOfflineBackend(str(tmp_path)).log(points(1))


@contextmanager
def files_of_at_most(size):
    """Let no file of this process become larger, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_line_that_did_not_fit_is_written_once_when_it_fits(tmp_path):
    """What of it was written is taken off before; the lines in front stay."""
    path = tmp_path / "metrics.jsonl"
    first, second = ([{"iter": start + n} for n in range(50)] for start in (0, 50))
    metrics = MetricsFile(path)
    metrics.append(first)
    with files_of_at_most(path.stat().st_size + 100):
        for _ in range(2):
            with pytest.raises((OSError, SteelyardError)):
                metrics.append(second)
    metrics.append(second)
    metrics.close()
    assert [json.loads(line) for line in path.read_bytes().splitlines()] == [first, second]


def test_a_line_that_was_written_is_not_written_again_after_an_error(tmp_path):
    """The batch comes again with more behind it; only that is new."""
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append([{"iter": 0}, {"iter": 1}])
    metrics.append([{"iter": 0}, {"iter": 1}, {"iter": 2}])
    metrics.is_certain = True
    metrics.append([{"iter": 2}])
    metrics.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        [{"iter": 0}, {"iter": 1}], [{"iter": 2}], [{"iter": 2}],
    ]  # fmt: skip
