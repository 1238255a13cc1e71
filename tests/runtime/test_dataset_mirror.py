"""A copy of a data set that grows with it."""

import pytest

from steelyard.domain.bench.conversation import Conversation, Turn
from steelyard.kernel.errors import FileError
from steelyard.runtime.dataset_mirror import SCHEDULE_NAME, DatasetMirror, read_piece
from steelyard.runtime.dataset_store import (
    DATA_NAME,
    INDEX_NAME,
    DatasetStoreReader,
    DatasetStoreWriter,
)


def conversation(text):
    return Conversation(id="s", turns=(Turn(text=text),))


class Copying:
    """A mirror of `there` below `here` that asks for `size` bytes at a time."""

    def __init__(self, there, here, size):
        self.asked = []

        async def ask(name, offset):
            self.asked.append((name, offset))
            return read_piece(there, name, offset, size)

        self.mirror = DatasetMirror(here, ask)


@pytest.mark.parametrize("size", [7, 100_000])
async def test_a_copy_has_the_same_bytes_however_it_is_cut(tmp_path, size):
    """Read by the same reader; only what is new is asked for again."""
    there, here = tmp_path / "there", tmp_path / "here"
    copying = Copying(there, here, size)
    with DatasetStoreWriter(there) as writer:
        for number in range(5):
            writer.append(conversation(f"first {number}"))
        writer.flush()
        await copying.mirror.follow(complete=False)
        reader = DatasetStoreReader(here)
        assert reader.ready(5)
        assert not reader.ready(6)
        for number in range(3):
            writer.append(conversation(f"later {number}"))
    (there / SCHEDULE_NAME).write_bytes(b"12345678" * 8)
    copying.asked.clear()
    await copying.mirror.follow(complete=True)
    assert min(offset for name, offset in copying.asked if name == DATA_NAME) > 0
    for name in (DATA_NAME, INDEX_NAME, SCHEDULE_NAME):
        assert (here / name).read_bytes() == (there / name).read_bytes()
    assert reader.ready(8)
    assert reader.read(7) == conversation("later 2")
    reader.close()


async def test_an_entry_is_named_only_when_its_bytes_are_there(tmp_path):
    """While the copy is made the writer goes on: what its index names later waits."""
    there, here = tmp_path / "there", tmp_path / "here"
    with DatasetStoreWriter(there) as writer:
        writer.append(conversation("one"))
        writer.flush()

        async def ask(name, offset):
            piece = read_piece(there, name, offset, 1 << 20)
            if name == INDEX_NAME and not piece:
                writer.append(conversation("two"))
                writer.flush()
            return piece

        await DatasetMirror(here, ask).follow(complete=False)
    reader = DatasetStoreReader(here)
    assert reader.ready(1)
    assert not reader.ready(2)
    assert reader.read(0) == conversation("one")
    reader.close()


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "conversations.data/../x", ""])
def test_only_files_of_the_data_set_are_for_others(tmp_path, name):
    """A worker asks by name: no name leads anywhere else."""
    (tmp_path / "secret").write_text("x")
    (tmp_path / "dataset").mkdir()
    with pytest.raises(FileError, match="Only the files of the data set"):
        read_piece(tmp_path / "dataset", name, 0, 10)
    with pytest.raises(FileError):
        read_piece(tmp_path / "dataset", DATA_NAME, -1, 10)
    assert read_piece(tmp_path / "dataset", DATA_NAME, 0, 10) == b""
