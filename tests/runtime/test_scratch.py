"""A report needs scratch files; a disk without room for them is named, or gone round."""

import shutil
import tempfile

import numpy as np
import pytest
from small_disk import small_disk

from steelyard.kernel.errors import FileError
from steelyard.runtime import scratch as scratch_module
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.results import open_run
from steelyard.runtime.scratch import BESIDE, ELSEWHERE, make_scratch, scratch_places
from steelyard.testing.journals import answered, fake_plan, record_batch, write_journal


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return what stands for the system's directory of temporary files."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture
def run_dir(tmp_path):
    directory = tmp_path / "run"
    directory.mkdir()
    rows = [answered(i, start_ms=i, ttft_ms=20) for i in range(50)]
    write_journal(directory, fake_plan(directory), [record_batch(rows)])
    return directory


@pytest.fixture
def disk(tmp_path):
    """Return a file system of 200 kB."""
    with small_disk(tmp_path / "small", 200) as directory:
        yield directory


def test_scratch_lies_beside_the_artifacts_while_there_is_room(run_dir, temporary):
    with open_run(run_dir, PluginHost.standard()):
        assert list(run_dir.glob(f"{BESIDE}*"))
        assert not list(temporary.iterdir())
    assert not list(run_dir.glob(f"{BESIDE}*"))


def test_a_full_artifact_directory_puts_scratch_with_the_system(run_dir, temporary, monkeypatch):
    """Free space is less than scratch files may take."""
    usage = shutil.disk_usage(run_dir)._replace(free=scratch_module.ROOM_MIN - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with open_run(run_dir, PluginHost.standard()) as view:
        assert len(view.rows()) == 50
        (scratch,) = temporary.iterdir()
        assert scratch.name.startswith(ELSEWHERE)
        assert not list(run_dir.glob(f"{BESIDE}*"))
    assert not list(temporary.iterdir())


def long_run(directory):
    """Write a run whose values do not fit into the memory that they wait in."""
    rows = [answered(i, start_ms=i, ttft_ms=20) for i in range(4_000)]
    batches = (record_batch(rows, batch_seq=number) for number in range(10))
    write_journal(directory, fake_plan(directory), batches)


def test_a_disk_that_fills_up_on_the_way_is_gone_round(disk, temporary, tmp_path, monkeypatch):
    """The first place of scratch files turns out too small, the second one does not."""
    monkeypatch.setattr("steelyard.runtime.results.scratch_places", lambda *_: (disk, temporary))
    long_run(tmp_path)
    with open_run(tmp_path, PluginHost.standard()) as view:
        assert len(view.rows()) == 40_000
        assert not list(disk.iterdir())
        assert view.rows()[39_999]["schedule_index"] == 3_999
    assert not list(temporary.iterdir())


def test_no_room_anywhere_is_one_error_that_names_the_directory(disk, tmp_path, monkeypatch):
    """Not a traceback, and nothing is left behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    monkeypatch.setattr("steelyard.runtime.results.scratch_places", lambda *_: (disk,))
    long_run(tmp_path)
    with pytest.raises(FileError) as caught:
        open_run(tmp_path, PluginHost.standard())
    assert str(caught.value) == (
        f"Can't write {disk}: no space left on device. "
        "Free some space there, or set TMPDIR to a directory that has some."
    )
    assert not list(disk.iterdir())


def test_records_that_find_no_room_to_be_read_are_an_error_that_names_it(
    disk, tmp_path, monkeypatch
):
    """A summary fits in memory; the rows themselves need a file."""
    monkeypatch.setattr("steelyard.runtime.results.scratch_places", lambda *_: (disk,))
    rows = [answered(i, start_ms=i, ttft_ms=20) for i in range(4_000)]
    write_journal(tmp_path, fake_plan(tmp_path), [record_batch(rows)])
    with open_run(tmp_path, PluginHost.standard()) as view:
        assert view.summary.metrics["request_count"].avg == 4_000
        with pytest.raises(FileError, match=f"Can't write {disk}: no space left on device"):
            view.rows()[0]


def test_a_place_that_is_gone_is_named(tmp_path):
    with pytest.raises(FileError, match="Can't write .*gone: no such file or directory"):
        make_scratch(tmp_path / "gone")
    assert scratch_places(tmp_path / "gone", 0) == (scratch_places(tmp_path, 1 << 60)[-1],)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_records_that_do_not_fit_are_an_error_that_names_the_file(disk, tmp_path, temporary, kind):
    waits = np.random.default_rng(3).lognormal(3, 1, 20_000)
    rows = [answered(i, start_ms=i, ttft_ms=wait) for i, wait in enumerate(waits)]
    write_journal(tmp_path, fake_plan(tmp_path), [record_batch(rows)])
    expected = f"Can't write {disk}/records.{kind}: no space left on device"
    with (
        open_run(tmp_path, PluginHost.standard()) as view,
        pytest.raises(FileError, match=expected),
    ):
        view.write_records(str(disk / f"records.{kind}"), kind)
    assert not list(disk.iterdir())
