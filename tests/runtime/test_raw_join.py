"""From the workers' spools to one file, once, whenever that is."""

import os
from pathlib import Path

import pytest
from detailed_runs import exchange, lines_of, spool

from steelyard.kernel.errors import FileError
from steelyard.runtime import raw_join
from steelyard.runtime.raw_join import count_lines, has_spools, join_spools
from steelyard.runtime.raw_spool import RAW_FOLDER


def indices(path):
    return [line["metadata"]["schedule_index"] for line in lines_of(path)]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "profile_export_raw.jsonl"


def test_all_workers_lines_become_one_file_and_the_spools_go(tmp_path, target):
    spool(tmp_path, [exchange(i) for i in (0, 2)], worker=0)
    spool(tmp_path, [exchange(i) for i in (1, 3)], worker=1)
    assert has_spools(tmp_path)
    assert join_spools(tmp_path, target) == 4
    assert indices(target) == [0, 2, 1, 3]
    assert count_lines(target) == 4
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert not has_spools(tmp_path)


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_that_a_crash_cut_is_left_out(tmp_path, target, monkeypatch, cut, block):
    """Wherever the cut is, and however the file is read; the other worker's lines follow whole."""
    monkeypatch.setattr(raw_join, "_BLOCK_BYTES", block)
    path = spool(tmp_path, [exchange(i) for i in range(3)], worker=0)
    os.truncate(path, path.stat().st_size - cut)
    spool(tmp_path, [exchange(9)], worker=1)
    assert join_spools(tmp_path, target) == 3
    assert indices(target) == [0, 1, 9]


def test_a_spool_without_a_whole_line_is_no_line(tmp_path, target):
    path = spool(tmp_path, [exchange(0)])
    os.truncate(path, 20)
    assert join_spools(tmp_path, target) == 0
    assert target.read_bytes() == b""


def test_a_failed_join_leaves_the_spools(tmp_path, target, monkeypatch):
    """Nothing is removed before the file has its name."""
    spool(tmp_path, [exchange(0)])

    def refuse(self, target):
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(FileError, match="no space"):
            join_spools(tmp_path, target)
    assert not target.exists()
    assert join_spools(tmp_path, target) == 1


def test_a_crash_while_spools_are_removed_leaves_a_whole_file(tmp_path, target):
    """They lose their directory's name first, so a second join can't see some of them."""
    spool(tmp_path, [exchange(0)], worker=0)
    spool(tmp_path, [exchange(1)], worker=1)
    join_spools(tmp_path, target)
    (tmp_path / f".{RAW_FOLDER}.joined").mkdir()
    (tmp_path / f".{RAW_FOLDER}.joined" / "raw_records_worker_1.jsonl").write_text("{}\n")
    assert not has_spools(tmp_path)
    assert indices(target) == [0, 1]
