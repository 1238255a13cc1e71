import json
import os
import stat

import pytest

from steelyard.kernel.errors import FileError
from steelyard.runtime.fleet.audit_log import AuditLog


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_one_line_whatever_is_in_it_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "deep" / "audit.jsonl"
    log = AuditLog(path)
    log.note(path='/v1/"\n{}\x1b[31m', status=401)
    log.note(path="é", status=200)
    log.close()
    assert lines(path) == [{"path": '/v1/"\n{}\x1b[31m', "status": 401},
                           {"path": "é", "status": 200}]  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_goes_on_after_what_is_there(tmp_path):
    path = tmp_path / "audit.jsonl"
    for number in range(2):
        log = AuditLog(path)
        log.note(number=number)
        log.close()
    assert lines(path) == [{"number": 0}, {"number": 1}]


def test_full_files_are_turned_over_and_the_oldest_forgotten(tmp_path):
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, bytes_max=100, kept=2)
    for number in range(40):
        log.note(number=number, text="x" * 20)  # 2 lines a file
    log.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    kept = [row["number"] for name in reversed(names) for row in lines(tmp_path / name)]
    assert kept == list(range(40 - len(kept), 40))
    assert all(p.stat().st_size <= 100 for p in tmp_path.iterdir())


def test_a_place_that_can_not_be_written_is_told_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="audit log"):
        AuditLog(tmp_path / "file" / "audit.jsonl")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileError):
        AuditLog(tmp_path / "audit.jsonl")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_can_not_be_made_costs_what_comes_meanwhile_and_no_older_one(
    tmp_path, monkeypatch
):
    """And nothing is written to the number of a file that is closed: it may be a client's now."""
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, bytes_max=100, kept=3)
    for number in range(6):  # 2 lines a file
        log.note(number=number, text="x" * 20)

    def refuse(*_):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        for number in range(6, 9):
            log.note(number=number, text="x" * 20)
    assert log.lost == 3
    log.note(number=9, text="x" * 20)
    log.close()
    kept = [path.with_name(f"audit.jsonl{end}") for end in (".3", ".2", ".1", "")]
    found = [line["number"] for file in kept if file.exists() for line in lines(file)]
    assert found == [*range(6), 9]


def test_what_is_noted_after_the_end_is_in_no_other_file(tmp_path):
    """The number of a closed file is the next file's, or the next client's connection."""
    log = AuditLog(tmp_path / "audit.jsonl")
    log.close()
    with (tmp_path / "other").open("wb"):
        log.note(status=200)
    assert (tmp_path / "other").read_bytes() == b""
    assert log.lost == 1
