"""Numbers with which `serve` can't be."""

import pytest

from steelyard.cli.main import run
from steelyard.kernel.errors import UsageError


@pytest.mark.parametrize("flag", ["--rate", "--body-max-mb"])
@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "1e300"])
def test_a_bound_that_is_no_number_is_refused_by_its_flag(tmp_path, flag, value):
    with pytest.raises(UsageError, match=f"{flag} can't be used"):
        run(["fleet", "serve", "--dir", str(tmp_path / "fleet"), "--port", "0", flag, value])
