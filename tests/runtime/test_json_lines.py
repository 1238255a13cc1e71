"""JSON lines out of columns, against what an encoder makes of each row."""

import json

from hypothesis import given
from hypothesis import strategies as st

from steelyard.runtime.json_lines import json_lines

numbers = st.one_of(st.none(), st.integers(-(2**53), 2**53), st.booleans())
texts = st.text(max_size=12).map(lambda text: text + '","\\\n}')


@given(
    number=st.lists(numbers, min_size=3, max_size=3),
    text=st.lists(texts, min_size=3, max_size=3),
    alike=st.lists(st.one_of(numbers, texts), min_size=4, max_size=4),
    order=st.permutations(["a", "b", "c", "d", "e", "f"]),
)
def test_each_line_is_the_row_in_the_order_of_the_keys(number, text, alike, order):
    same = dict(zip("cdef", alike, strict=True))
    lines = json_lines(order, same, {"a": number, "b": text}).splitlines()
    found = [json.loads(line) for line in lines]
    assert found == [{"a": a, "b": b} | same for a, b in zip(number, text, strict=True)]
    assert [list(row) for row in found] == [list(order)] * 3


def test_no_rows_are_no_lines():
    assert json_lines(["a", "b"], {"b": 1}, {"a": []}) == b""
