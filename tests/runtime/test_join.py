"""Joins: what a worker elsewhere is given, and how it gets out of hand nowhere."""

import base64

import msgspec
import pytest

from steelyard.kernel.errors import UsageError
from steelyard.runtime.join import Join, prepare


@pytest.fixture
def join():
    return prepare("run-1", ["tcp://10.0.0.5:7000"], 3, "1.2.3")


def test_a_join_is_one_word_of_text_that_any_variable_or_file_takes(join):
    """What was encoded is read back; a line end of an editor does no harm."""
    text = join.for_worker(2).encode()
    assert text.isascii()
    assert not set(text) & set(" \n'\"$")
    assert Join.decode(text + "\n") == join.for_worker(2)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "e30=", base64.b64encode(b'{"run_id": 5}').decode(), "ü", "e30=" * 3000],
)
def test_what_is_no_join_is_refused_without_being_repeated(text):
    """It may be a join with one letter lost, which has keys in it."""
    with pytest.raises(UsageError, match="not a join") as caught:
        Join.decode(text)
    assert len(text) < 5 or text not in str(caught.value)


def test_nothing_that_shows_a_join_shows_its_keys(join):
    """A log line, a traceback with values, an f-string."""
    shown = f"{join!r} {join}"
    for secret in (join.client_secret, join.server_secret, join.client_public):
        assert secret
        assert secret not in shown
    assert "run-1" in shown


@pytest.mark.parametrize("index", [-1, 3, 99])
def test_a_join_says_which_worker_it_is_for(join, index):
    """Out of range or unsaid, the error says what there is."""
    assert join.for_worker(1).service_id == join.service_ids[1]
    with pytest.raises(UsageError, match="from 0 to 2"):
        _ = join.for_worker(index).service_id


def test_a_prepared_join_keeps_the_controllers_key_from_workers(join):
    """Two runs have no key in common, and workers could not pose as the controller."""
    theirs = join.for_workers()
    assert theirs.server_secret == ""
    assert join.server_secret not in msgspec.json.encode(theirs).decode()
    other = prepare("run-1", ["tcp://10.0.0.5:7000"], 3, "1.2.3")
    assert not {join.client_secret, join.server_secret} & {other.client_secret, other.server_secret}
    assert not set(join.service_ids) & set(other.service_ids)
