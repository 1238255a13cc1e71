"""Where a WebSocket begins."""

import pytest

from steelyard.domain.fleet.access import AccessKey, Role
from steelyard.web.events import _refusal
from steelyard.web.models import INTEGER_MAX

KEY = AccessKey(key_id="a" * 12, name="a", role=Role.READER)


@pytest.mark.parametrize(
    "place", ["x", "-1", "1.0", "²", str(INTEGER_MAX + 1), "0" * 30 + "9" * 5_000, "0" * 30 + "9"]
)
def test_what_is_no_events_number_is_refused_and_never_read(place):
    assert _refusal(KEY, place) == "after is the number of an event"


def test_each_number_of_an_event_is_taken():
    assert [_refusal(KEY, place) for place in ("", "0", "17", str(INTEGER_MAX))] == [""] * 4
