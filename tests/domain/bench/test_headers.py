"""A header names the variable of its secret until a worker needs the secret itself."""

import pytest

from steelyard.domain.bench.headers import fill_headers, variables_in
from steelyard.kernel.errors import UsageError


def test_variables_are_filled_and_all_else_is_left_alone():
    headers = (("X-Key", "${KEY}"), ("X-Price", "$5 ${KEY}-${OTHER}"))
    filled = fill_headers(headers, {"KEY": "k", "OTHER": "o"})
    assert filled == (("X-Key", "k"), ("X-Price", "$5 k-o"))
    assert variables_in(headers[1][1]) == ["KEY", "OTHER"]


def test_a_missing_variable_is_named_and_no_value_is_shown():
    with pytest.raises(UsageError, match="variable KEY, which is not set") as caught:
        fill_headers((("X-Key", "${KEY}"),), {"OTHER": "s3cret"})
    assert "s3cret" not in str(caught.value)
