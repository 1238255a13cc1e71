"""What is remembered of a fleet reads the same in every release."""

import msgspec
import pytest

from steelyard.domain.fleet.model import Ending, Outcome


def test_a_lost_attempt_is_not_said_to_be_lost_with_a_worker_that_may_live():
    assert str(Ending.LOST) == "lost"
    assert not [ending for ending in Ending if "its worker" in ending]


def test_a_lost_attempt_in_an_earlier_ledger_is_read_and_written_as_one_of_today():
    old = msgspec.msgpack.encode({"ending": "lost with its worker", "error": "worker w: SIGKILL"})
    read = msgspec.msgpack.decode(old, type=Outcome)
    assert read == Outcome(ending=Ending.LOST, error="worker w: SIGKILL")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(read))["ending"] == "lost"


def test_an_ending_that_there_never_was_is_refused():
    with pytest.raises(msgspec.ValidationError, match="Invalid enum value 'gone'"):
        msgspec.json.decode('{"ending": "gone"}', type=Outcome)
