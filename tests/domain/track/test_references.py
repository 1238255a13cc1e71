"""References stand for secrets until somebody who may know them asks."""

import pytest

from steelyard.domain.track.references import filled, has_reference
from steelyard.kernel.errors import UsageError


def test_texts_are_filled_however_deep_they_lie():
    options = {
        "uri": "http://${HOST}:${PORT:-80}",
        "n": 3,
        "list": ["${HOST}", {"deep": "${HOST}"}],
    }
    assert filled(options, {"HOST": "h"}) == {
        "uri": "http://h:80", "n": 3, "list": ["h", {"deep": "h"}],
    }  # fmt: skip


def test_a_variable_without_a_value_is_named():
    with pytest.raises(UsageError, match="KEY is not set"):
        filled({"key": "${KEY}"}, {})


@pytest.mark.parametrize(("text", "has"), [("${A}", True), ("a${A:-b}", True), ("$A", False)])
def test_a_reference_is_told_from_text(text, has):
    assert has_reference(text) is has
    assert not has_reference(3)
