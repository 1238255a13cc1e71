"""What goes over the pipes arrives whole, however it was cut."""

import math

import msgspec
import pytest

from steelyard.app.bench_tracking.messages import (
    Done,
    Ended,
    Heard,
    Live,
    Mirrored,
    Opened,
    ToController,
    ToTracking,
)
from steelyard.runtime.pipe_frames import Frames, frame_of

TOLD = [
    Live(at_ns=5, phase="profiling", values={"rate": 2.5, "worst": math.inf}),
    Ended(status="completed", summary={"metrics": {"a": {"p99": math.inf}}}, files={"a": "/b"}),
]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_messages_are_cut_out_of_a_stream(size):
    """Infinities too, which JSON has not."""
    data = b"".join(map(frame_of, TOLD))
    frames = Frames(ToTracking)
    got = [
        message for at in range(0, len(data), size) for message in frames.feed(data[at : at + size])
    ]
    assert got == TOLD


def test_answers_are_told_apart():
    answers = [
        Opened("r"),
        Heard(3),
        Done(mirrors={"a": Mirrored(delivered=1, dropped=0, closed=True)}),
    ]
    assert list(Frames(ToController).feed(b"".join(map(frame_of, answers)))) == answers


def test_what_is_none_of_ours_is_refused():
    with pytest.raises(msgspec.ValidationError):
        list(Frames(ToTracking).feed(frame_of(Heard(1))))
