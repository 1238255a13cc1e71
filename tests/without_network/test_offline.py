"""Real SDKs of trackers and real training frameworks, each in a process without a network."""

import re
from pathlib import Path

import pytest
from offline import run_tests_offline

TESTS = Path(__file__).parents[1]
FILES = sorted([*TESTS.glob("trackers/test_*.py"), *TESTS.glob("frameworks/test_*.py")])
SECONDS_MAX = 900


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 30)
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem[5:]}")
def test_all_is_well_where_no_network_is(file, tmp_path):
    """All tests of the file pass, and there are some."""
    done = run_tests_offline(file, home=tmp_path, timeout_s=SECONDS_MAX)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 0
