"""Values that come again: told by what is there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.builtin.backend.clearml.offline import ClearmlOfflineBackend, overlap
from steelyard.kernel.errors import PluginError
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
