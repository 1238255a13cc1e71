"""Each backend of a tracker keeps its contract with the real SDK, where no network is."""

import re
from pathlib import Path

import pytest
from offline import run_tests_offline

FILES = sorted((Path(__file__).parents[1] / "trackers").glob("test_*.py"))
SECONDS_MAX = 300


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 30)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem.removeprefix("test_"))
def test_the_sdk_keeps_what_it_was_given(file, tmp_path):
    """All tests of the tracker pass without a network, and there are some."""
    done = run_tests_offline(file, home=tmp_path, timeout_s=SECONDS_MAX)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 0
