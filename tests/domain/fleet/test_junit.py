"""JUnit reports are read as their runners wrote them, and harm nobody."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.domain.fleet import junit
from steelyard.domain.fleet.junit import Case, JUnitError, parse_junit

REPORT = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="all"><testsuite name="s" tests="5" failures="1" time="1.5">
  <properties><property name="steelyard_node" value="of the suite"/></properties>
  <testcase classname="pkg.test_a" name="test_ok" time="0.25"/>
  <testcase classname="pkg.test_a" name="test_bad[a &lt; b]" time="1,000.5">
    <failure message="assert 1 == 2" type="E">line &amp; line
<![CDATA[<raw>]]></failure><system-out>noise</system-out>
  </testcase>
  <testcase name="test_named" time="x"><properties>
    <property name="steelyard_node" value="t.py::test_named"/></properties>
    <skipped message="later"/></testcase>
  <testcase classname="pkg" name="both"><failure message="one"/><error message="two">e</error>
  </testcase>
  <testcase classname="pkg" name="nan" time="nan"/>
</testsuite></testsuites>"""


def test_cases_have_names_states_times_and_reasons():
    assert parse_junit(REPORT) == [
        Case(name="pkg.test_a::test_ok", seconds=0.25),
        Case(
            name="pkg.test_a::test_bad[a < b]", status="failed", seconds=1000.5,
            message="assert 1 == 2", text="line & line\n<raw>",
        ),
        Case(name="t.py::test_named", status="skipped", message="later"),
        Case(name="pkg::both", status="error", message="two", text="e"),
        Case(name="pkg::nan"),
    ]  # fmt: skip


LAUGHS = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><testsuite name="&b;"/>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><a><testcase name="&e;"/></a>'


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (LAUGHS, "declares a document type"),
        (OUTSIDE, "declares a document type"),
        (b'<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a/>', "declares a document type"),
        (b"", "is no XML"),
        (b"<a>", "is no XML"),
        (b"<a>&e;</a>", "is no XML"),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', "is no XML"),
        (b'<?xml version="1.0" encoding="utf-7"?><a/>', "is no XML"),
        (b"<a>" * 40, "is nested deeper than 32"),
    ],
)
def test_what_is_no_report_is_refused_with_a_reason(data, words):
    with pytest.raises(JUnitError, match=words):
        parse_junit(data)


def test_a_report_is_read_up_to_its_bounds(monkeypatch):
    monkeypatch.setattr(junit, "CASES_MAX", 2)
    with pytest.raises(JUnitError, match="more than 2 cases"):
        parse_junit(b"<s>" + b"<testcase name='a'/>" * 3 + b"</s>")
    monkeypatch.setattr(junit, "BYTES_MAX", 10)
    with pytest.raises(JUnitError, match="too large"):
        parse_junit(REPORT)
    monkeypatch.undo()
    long = b"<s><testcase name='%s'><failure>%s</failure></testcase></s>" % (
        b"n" * 5000,
        b"x" * 9999,
    )
    (case,) = parse_junit(long)
    assert (len(case.name), len(case.text)) == (junit.NAME_MAX, junit.TEXT_MAX)


@given(st.one_of(st.binary(max_size=200), st.text(alphabet="<>&;'\"/! acdtsue=[]", max_size=80)))
def test_no_text_breaks_the_reader(data):
    cases = []
    with contextlib.suppress(JUnitError):
        cases = parse_junit(data if isinstance(data, bytes) else data.encode())
    assert all(isinstance(case, Case) for case in cases)
