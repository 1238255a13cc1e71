"""What the wandb backend keeps until W&B is known to have it."""

import math
import resource

import pytest

from steelyard.builtin.backend.wandb.state import Batch, Before, Resent, SentFile
from steelyard.domain.track.events import Artifact, Metric, Params, Tags
from steelyard.kernel.errors import PluginError
from steelyard.testing.contracts.backend import points

ITEMS = [
    Metric(name="a", value=math.nan, step=0, wall_ns=1, source="gpu"),
    Metric(name="a", value=math.inf, step=1, wall_ns=2),
    Params(values={"p": [1, {"q": None}]}, wall_ns=3),
    Tags(values={"t": "ü"}, wall_ns=4),
    Artifact(name="f", sha256="0", size=1, path="/f", wall_ns=5),
]


@pytest.fixture
def make_file(tmp_path, request):
    def make():
        file = SentFile(tmp_path / "deep" / "run.sent")
        request.addfinalizer(file.close)
        file.open()
        return file

    return make


def test_all_kinds_come_back_as_they_were(make_file):
    """Also numbers that JSON has not."""
    make_file().add(Batch(5, ITEMS))
    (batch,) = make_file().batches
    assert (batch.first_row, repr(batch.items)) == (5, repr(ITEMS))


def test_a_torn_batch_is_cut_off_and_what_follows_is_whole(make_file):
    file = make_file()
    file.add(Batch(0, points(4)))
    size = file.path.stat().st_size
    file.add(Batch(4, points(4, first=4)))
    data = file.path.read_bytes()
    for end in range(size, len(data)):
        file.path.write_bytes(data[:end])
        again = make_file()
        assert again.batches == [Batch(0, points(4))]
        again.add(Batch(4, ITEMS[2:]))
        again.close()
        assert [batch.first_row for batch in make_file().batches] == [0, 4]


def test_clearing_leaves_what_a_new_part_begins_with(make_file):
    file = make_file()
    file.add(Batch(0, points(4)))
    before = Before(4, {"lr": 0.1}, {"t": "1"})
    file.clear(before)
    again = make_file()
    assert (again.before, again.batches) == (before, [])


def test_a_batch_that_finds_no_room_leaves_nothing(make_file):
    """The next one stands where it would have stood."""
    file = make_file()
    file.add(Batch(0, points(4)))
    size = file.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            file.add(Batch(4, points(4)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.path.stat().st_size == size
    file.add(Batch(4, points(2, first=4)))
    file.sync()
    assert make_file().batches == [Batch(0, points(4)), Batch(4, points(2, first=4))]


def test_it_must_be_ours_and_open(make_file, tmp_path):
    file = make_file()
    file.close()
    with pytest.raises(PluginError, match="not open"):
        file.sync()
    file.path.write_bytes(b"")
    with pytest.raises(PluginError, match="not what the wandb backend wrote"):
        make_file()


def test_items_that_come_again_are_told_from_new_ones():
    """However they are cut; a NaN is like itself."""
    sent = [Batch(0, points(3)), Batch(3, [ITEMS[0], *points(4)])]
    again = Resent(sent)
    assert again.count([]) == 0
    assert again.count([ITEMS[0], *points(2)]) == 3
    assert again.count(points(5)[2:]) == 2
    assert again.count(points(4)) == 0
    assert Resent(sent).count(points(3)) == 0
    assert Resent(()).count(points(3)) == 0
