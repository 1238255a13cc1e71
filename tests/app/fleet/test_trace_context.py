"""Spans are named by the task alone, and go on from whoever submitted it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.app.fleet.submitting import is_same
from steelyard.app.fleet.trace_context import (
    TraceContext,
    of_attempt,
    of_task,
    of_wait,
    parent_of,
    parse,
)
from steelyard.domain.fleet.model import TaskSpec

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SPEC = TaskSpec(task_id="t", kind="command", submitted_ns=7)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, sampled=False)),
        (f"00-{TRACE}-{SPAN}-03", TraceContext(TRACE, SPAN, sampled=True)),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TraceContext(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
    ],
)
def test_a_header_is_read_as_the_standard_says(header, found):
    assert parse(header) == found


@given(st.text(max_size=80))
def test_no_text_is_more_than_a_header_or_nothing(text):
    found = parse(text)
    assert found is None or parse(found.header) == found


def test_a_task_of_nobodys_trace_has_one_of_its_own():
    assert parent_of(SPEC) is None
    assert of_task(SPEC).trace_id == of_attempt(SPEC, 3).trace_id
    other = msgspec.structs.replace(SPEC, task_id="u")
    again = msgspec.structs.replace(SPEC, submitted_ns=8)
    assert len({of_task(each).trace_id for each in (SPEC, other, again)}) == 3


def test_every_part_has_an_id_of_its_own_that_is_the_same_each_time():
    parts = [of_task(SPEC), of_wait(SPEC, 1), of_wait(SPEC, 2), of_attempt(SPEC, 1),
             of_attempt(SPEC, 2)]  # fmt: skip
    assert len({part.span_id for part in parts}) == 5
    assert of_attempt(SPEC, 2) == of_attempt(msgspec.structs.replace(SPEC), 2)


def test_a_task_goes_on_in_the_trace_that_submitted_it_and_is_as_sampled():
    spec = msgspec.structs.replace(SPEC, traceparent=f"00-{TRACE}-{SPAN}-00")
    assert parent_of(spec) == TraceContext(TRACE, SPAN, sampled=False)
    assert (of_task(spec).trace_id, of_task(spec).sampled) == (TRACE, False)
    assert of_attempt(spec, 1).header.startswith(f"00-{TRACE}-")
    assert of_attempt(spec, 1).header.endswith("-00")


def test_a_task_that_is_submitted_again_from_another_trace_is_the_same():
    assert is_same(SPEC, msgspec.structs.replace(SPEC, traceparent=f"00-{TRACE}-{SPAN}-01"))
