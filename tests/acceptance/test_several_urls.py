"""Runs over several servers: who gets which request."""

from collections import Counter

import pytest
from acceptance_runs import mock_server, run

pytestmark = [pytest.mark.acceptance, pytest.mark.network]

FLAGS = ("--endpoint-type", "chat", "--isl", "20", "--osl", "4", "--streaming")


@pytest.fixture(scope="module")
def fast():
    with mock_server("--ttft-ms", "5", "--itl-ms", "0") as url:
        yield url


@pytest.fixture(scope="module")
def slow():
    with mock_server("--ttft-ms", "120", "--itl-ms", "0") as url:
        yield url


def servers_of(done):
    """Return the server of each schedule index, in order."""
    rows = sorted(done.rows, key=lambda row: row["schedule_index"])
    return [row["endpoint_url"] for row in rows]


def test_the_draw_does_not_depend_on_the_number_of_workers(fast, slow, tmp_path):
    """One worker or three: the same server for the same index."""
    flags = (*FLAGS, "-u", f"{fast},{slow}", "--url-strategy", "random",
             "--concurrency", "12", "--request-count", "60")  # fmt: skip
    one = run("", tmp_path / "1", *flags, "--workers", "1", "--run-type", "inline")
    three = run("", tmp_path / "3", *flags, "--workers", "3")
    assert servers_of(one) == servers_of(three)
    counts = Counter(servers_of(one))
    assert set(counts) == {fast, slow}
    assert min(counts.values()) >= 12


def test_the_server_that_answers_sooner_gets_more(fast, tmp_path):
    """It answers hundreds while the other one thinks of its first; and the page says how."""
    with mock_server("--ttft-ms", "2000", "--itl-ms", "0") as slow:
        flags = (*FLAGS, "-u", f"{slow},{fast}", "--url-strategy", "least_in_flight",
                 "--concurrency", "8", "--request-count", "200", "--workers", "2")  # fmt: skip
        done = run("", tmp_path, *flags)
    counts = Counter(servers_of(done))
    assert counts[fast] > 3 * counts[slow] > 0
    assert any("2 workers counted its own" in note for note in done.summary["run"]["notes"])


def test_in_turn_is_half_and_half(fast, slow, tmp_path):
    """The default."""
    flags = (*FLAGS, "-u", f"{fast},{slow}", "--concurrency", "4", "--request-count", "40")
    assert servers_of(run("", tmp_path, *flags)) == [fast, slow] * 20
