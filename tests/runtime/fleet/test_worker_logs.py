"""What workers said is bounded, and goes when they have gone."""

import os

from steelyard.runtime.fleet import worker_logs
from steelyard.runtime.fleet.output_files import Gone
from steelyard.runtime.fleet.worker_logs import cut_logs, logs_before, remove_logs


def test_logs_of_workers_that_are_no_more_are_removed(tmp_path):
    for name in ("old", "new"):
        (tmp_path / f"{name}.log").write_text("it died\n")
    assert remove_logs(tmp_path, ["old", "never"], dry_run=True) == Gone(bytes=8)
    assert remove_logs(tmp_path, ["old", "never"], dry_run=False) == Gone(bytes=8)
    assert [path.name for path in tmp_path.iterdir()] == ["new.log"]


def test_no_name_of_a_worker_leads_out_of_the_directory(tmp_path):
    fleet = tmp_path / "fleet"
    (fleet / "sub").mkdir(parents=True)
    for path in (tmp_path / "out.log", fleet / "sub" / "in.log"):
        path.write_text("mine")
    (fleet / "link.log").symlink_to(tmp_path / "out.log")
    names = ["../out", "sub/in", "link", str(tmp_path / "out")]
    assert remove_logs(fleet, names, dry_run=False) == Gone()
    assert (tmp_path / "out.log").exists()
    assert (fleet / "sub" / "in.log").exists()
    assert logs_before(fleet, 2**62, []) == []


def test_a_log_that_is_too_long_keeps_its_last_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_logs, "BYTES_MAX", 1_000)
    monkeypatch.setattr(worker_logs, "BYTES_KEPT", 100)
    log = tmp_path / "w.log"
    with log.open("ab", buffering=0) as file:
        file.write(b"".join(b"line %03d\n" % n for n in range(200)))
        cut_logs(tmp_path, ["w", "none"])
        assert log.read_text().splitlines() == [f"line {n}" for n in range(189, 200)][-11:]
        file.write(b"goes on\n")
    assert log.read_text().endswith("line 199\ngoes on\n")
    cut_logs(tmp_path, ["w"])
    assert log.read_text().endswith("goes on\n")


def test_a_log_that_can_not_be_cut_is_counted_and_keeps_no_other(tmp_path, monkeypatch, caplog):
    """As one of somebody else, or one that goes at that moment."""
    monkeypatch.setattr(worker_logs, "BYTES_MAX", 100)
    monkeypatch.setattr(worker_logs, "BYTES_KEPT", 10)
    cut, names = worker_logs._cut, ("theirs", "gone", "mine")

    def deny(path, size):
        if path.stem == "theirs":
            raise PermissionError(13, "Permission denied")
        if path.stem == "gone":
            path.unlink()
        cut(path, size)

    monkeypatch.setattr(worker_logs, "_cut", deny)
    for name in names:
        (tmp_path / f"{name}.log").write_text("a line\n" * 100)
    assert cut_logs(tmp_path, names) == Gone(left=1)
    assert (tmp_path / "mine.log").read_text() == "a line\n"
    assert caplog.text.count("can't be cut") == 1


def test_logs_of_other_names_that_a_node_had_are_told_by_their_age(tmp_path):
    for name in ("ray-1", "ray-2", "own"):
        (tmp_path / f"{name}.log").write_text("x")
        os.utime(tmp_path / f"{name}.log", ns=(10, 10))
    os.utime(tmp_path / "ray-2.log", ns=(30, 30))
    assert logs_before(tmp_path, 20, ["own"]) == ["ray-1"]
