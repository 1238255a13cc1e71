"""Numbers and tables as a person reads them."""

import math

import pytest

from steelyard.cli.track_pages import number_text, plain_table


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.1234567, "0.123457"), (math.nan, "nan"), (-math.inf, "-inf"), (3, "3"),
     (1e-9, "1e-09"), ("x", "x")],
)  # fmt: skip
def test_a_number_has_six_digits_or_a_mark(value, text):
    assert number_text(value) == text


def test_numbers_stand_to_the_right_and_lines_end_with_text():
    lines = plain_table(["name", "n"], [["a", 1], ["b", 100], ["c", None]]).splitlines()
    assert lines == ["name    n", "a       1", "b     100", "c       -"]


def test_a_long_value_makes_no_other_line_longer(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    page = plain_table(["NAME", "a", "b"], [["big", "x" * 5_000, "y"], ["lr", 1, 2]])
    first, long, short = page.splitlines()
    assert len(long) > 5_000
    assert max(len(first), len(short)) < 80


def test_what_was_logged_tells_a_terminal_nothing_to_do():
    """Neither does it break its line: what is below would look like another row."""
    page = plain_table(["NAME"], [["red \x1b[31m\nrow\t\x9b2J\u2028"]])
    assert page == "NAME\nred \\x1b[31m\\nrow\\t\\x9b2J\\u2028"
