"""A truth log read back for calibration."""

from steelyard.runtime.mock.truth import TruthLog
from steelyard.runtime.mock.truth_reader import read_truth


def row(request_id, status=200, received=5):
    return (request_id, received, True, 10, 20, 30, 3, status, 3, "")


def test_answers_to_our_requests_are_read_and_all_others_passed_over(tmp_path):
    log = TruthLog(str(tmp_path / "t.csv"))
    log.rows += [
        row(b"20261122-045412-9f3a1c-p2-17-0"),
        row(b"20261122-045412-9f3a1c-p2-18-0", status=500),
        row(b"somebody-else"),
        row(b"a-b-c-d"),
        row(b""),
    ]
    log.close(0)
    assert read_truth(tmp_path / "t.csv").tolist() == [(2, 17, 5, 10, 20, 30, 3)]


def test_of_two_attempts_the_last_stands(tmp_path):
    log = TruthLog(str(tmp_path / "t.csv"))
    log.rows += [row(b"r-p0-1-0"), row(b"r-p0-1-1", received=9)]
    log.close(0)
    assert read_truth(tmp_path / "t.csv").tolist() == [(0, 1, 9, 10, 20, 30, 3)]
