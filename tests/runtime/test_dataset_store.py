"""The store: written piece by piece, read at random, by other processes too."""

import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.kernel.errors import FileError
from steelyard.runtime.dataset_store import (
    DATA_NAME,
    INDEX_NAME,
    DatasetStoreReader,
    DatasetStoreWriter,
    reorder,
)


def conversation(number: int) -> Conversation:
    turn = Turn(text="é" * number, max_tokens=number or None, extra={"n": [number]})
    return Conversation(id=f"c{number}", turns=(turn, Turn(text="again", delay_ms=0.5)))


@pytest.fixture
def reader(tmp_path: Path) -> DatasetStoreReader:
    with DatasetStoreWriter(tmp_path) as writer:
        for number in range(100):
            assert writer.append(conversation(number)) == number
    return DatasetStoreReader(tmp_path)


def test_every_entry_comes_back_as_it_was(reader: DatasetStoreReader) -> None:
    """In any order, all fields kept."""
    for number in (99, 0, 42, *range(100)):
        assert reader.read(number) == conversation(number)
    reader.close()


def test_entries_out_of_range_are_refused(reader: DatasetStoreReader) -> None:
    """Negative numbers don't count from the end."""
    for entry in (-1, 100, 1 << 60):
        with pytest.raises(IndexError):
            reader.read(entry)
    reader.close()


def test_a_reader_follows_the_writer(tmp_path: Path) -> None:
    """What is flushed can be read while more is written; what is not flushed can't."""
    writer = DatasetStoreWriter(tmp_path)
    reader = DatasetStoreReader(tmp_path)
    assert not reader.ready(1)
    writer.append(conversation(0))
    assert not reader.ready(1)
    writer.flush()
    assert reader.ready(1)
    assert reader.read(0) == conversation(0)
    writer.append(conversation(1))
    writer.finish()
    writer.finish()
    assert reader.read(1) == conversation(1)
    assert reader.ready(2)
    assert not reader.ready(3)
    reader.close()


def test_another_process_reads_the_same(tmp_path: Path) -> None:
    """The files carry everything."""
    with DatasetStoreWriter(tmp_path) as writer:
        writer.append(conversation(3))
    code = (
        "import sys; from pathlib import Path;"
        "from steelyard.runtime.dataset_store import DatasetStoreReader;"
        "print(DatasetStoreReader(Path(sys.argv[1])).read(0).id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "c3\n"


def test_damage_is_told(tmp_path: Path) -> None:
    """A shortened data file, a strange index, a missing file: each is a FileError."""
    with DatasetStoreWriter(tmp_path) as writer:
        writer.append(conversation(5))
    data = tmp_path / DATA_NAME
    data.write_bytes(data.read_bytes()[:-3])
    reader = DatasetStoreReader(tmp_path)
    with pytest.raises(FileError, match="entry 0 is damaged"):
        reader.read(0)
    reader.close()
    (tmp_path / INDEX_NAME).write_bytes(b"something else")
    with pytest.raises(FileError, match="mark"):
        DatasetStoreReader(tmp_path)
    data.unlink()
    with pytest.raises(FileError, match="no such file"):
        DatasetStoreReader(tmp_path)


def test_an_index_torn_within_an_entry_loses_only_that_entry(tmp_path: Path) -> None:
    """Half an index entry counts as none."""
    with DatasetStoreWriter(tmp_path) as writer:
        writer.append(conversation(1))
        writer.append(conversation(2))
    index = tmp_path / INDEX_NAME
    index.write_bytes(index.read_bytes()[:-3])
    reader = DatasetStoreReader(tmp_path)
    assert reader.read(0) == conversation(1)
    assert not reader.ready(2)
    reader.close()


def test_entries_can_be_put_in_another_order(tmp_path: Path) -> None:
    """The store of before is there until the last is written; nothing else stays behind."""
    with DatasetStoreWriter(tmp_path) as writer:
        for number in range(5):
            writer.append(conversation(number))
    order = [3, 0, 4, 1, 2]
    steps = reorder(tmp_path, order)
    next(steps)
    with_old = DatasetStoreReader(tmp_path)
    assert with_old.read(0) == conversation(0)
    with_old.close()
    assert list(steps) == [1, 2, 3, 4]
    reader = DatasetStoreReader(tmp_path)
    assert [reader.read(entry) for entry in range(5)] == [conversation(n) for n in order]
    reader.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [DATA_NAME, INDEX_NAME]
