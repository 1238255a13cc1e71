import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.kernel.frames import FrameType, file_header, frame_header, stream_number
from steelyard.runtime import journal_stream
from steelyard.runtime.journal import (
    JournalReader,
)
from steelyard.runtime.journal_stream import StreamOpened

quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_a_frame_of_another_stream_is_not_believed(kit, tmp_path):
    with kit.writer(tmp_path, "a") as journal:
        journal.event("mine", {})
    foreign = frame_header(FrameType.EVENT, stream_number("b"), 2, b"\x94\x01\x02\xa1x\x80")
    with (tmp_path / "a.journal").open("ab") as file:
        file.write(foreign + b"\x94\x01\x02\xa1x\x80")
    reader = JournalReader(tmp_path)
    assert [event.type for event in kit.own_events(reader)] == ["mine"]
    assert "another stream" in reader.damage[0]


@pytest.mark.parametrize(
    ("seqs", "read", "damage"),
    [
        ([1, 2, 5], [1, 2, 5], "frames 3 to 4 are missing"),
        ([1, 2, 2, 3], [1, 2, 3], "frame 2 comes a second time"),
    ],
)
def test_missing_and_repeated_frames_are_reported(kit, tmp_path, seqs, read, damage):
    kit.writer(tmp_path).close()
    with (tmp_path / "s.journal").open("ab") as file:
        for seq in seqs:
            body = msgspec.msgpack.encode(journal_stream.EventBody(seq, seq, "e", {}))
            file.write(frame_header(FrameType.EVENT, stream_number("s"), seq, body) + body)
    reader = JournalReader(tmp_path)
    assert [event.seq for event in kit.own_events(reader)] == read
    assert len(reader.damage) == 1
    assert damage in reader.damage[0]


@quick
@given(payload=st.binary(max_size=60), kind=st.sampled_from(FrameType))
def test_a_valid_frame_with_strange_contents_never_raises(kit, tmp_path_factory, payload, kind):
    """A checksum proves that bytes are as written, not that a friend wrote them."""
    directory = tmp_path_factory.mktemp("j")
    kit.writer(directory).close()
    deep = b"\x94\x01\x02\xa1x\x81\xa1a" + b"\x91" * 5000 + payload
    for seq, body in enumerate((payload, deep), 1):
        with (directory / "s.journal").open("ab") as file:
            file.write(frame_header(kind, stream_number("s"), seq, body) + body)
    reader = JournalReader(directory)
    list(reader.events())
    list(reader.record_batches())
    assert reader.damage


def test_a_file_without_its_opening_frame_is_damage(kit, tmp_path):
    body = msgspec.msgpack.encode(journal_stream.EventBody(1, 1, "e", {}))
    header = frame_header(FrameType.EVENT, stream_number("s"), 0, body)
    (tmp_path / "s.journal").write_bytes(file_header() + header + body)
    reader = JournalReader(tmp_path)
    assert list(reader.events()) == []
    assert "was not opened" in reader.damage[0]


def test_an_opening_with_impossible_columns_is_damage(kit, tmp_path):
    opened = StreamOpened(
        run_id="r", stream_id="s", host_id="h", boot_id="b", mono_ns=0, wall_ns=0, schema=1,
        steelyard_version="9", record_descr=(("x", "|O"),),
    )  # fmt: skip
    body = msgspec.msgpack.encode(opened)
    header = frame_header(FrameType.OPENED, stream_number("s"), 0, body)
    (tmp_path / "s.journal").write_bytes(file_header() + header + body)
    reader = JournalReader(tmp_path)
    assert reader.verify() == reader.damage
    assert "'|O'" in reader.damage[0]


def three_frames(kit, directory: Path) -> tuple[bytes, list[int]]:
    """Write a journal of an opening and three frames; return its bytes and where frames end."""
    path = directory / "s.journal"
    ends = []
    with kit.writer(directory) as journal:
        ends.append(path.stat().st_size)
        journal.event("one", {"x": 1})
        ends.append(path.stat().st_size)
        journal.records(kit.make_batch(0, rows=1))
        ends.append(path.stat().st_size)
        journal.event("two", {"text": "the last"})
        ends.append(path.stat().st_size)
    return path.read_bytes(), ends


def contents(kit, directory: Path) -> tuple[list[str], list[int], list[str]]:
    reader = JournalReader(directory)
    events = [event.type for event in kit.own_events(reader)]
    return events, [batch.batch_seq for batch in reader.record_batches()], reader.damage


def expected(whole_frames: int) -> tuple[list[str], list[int]]:
    events = ["one"] * (whole_frames >= 2) + ["two"] * (whole_frames >= 4)
    return events, [0] * (whole_frames >= 3)


def test_a_cut_at_any_byte_loses_only_the_frame_it_cuts(kit, tmp_path):
    """Every length of the file from nothing to all: read, repaired, continued, read again."""
    whole, ends = three_frames(kit, tmp_path / "whole")
    path = tmp_path / "cut" / "s.journal"
    path.parent.mkdir()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        frames = sum(end <= cut for end in ends)
        events, batches, damage = contents(kit, path.parent)
        assert (events, batches) == expected(frames), cut
        assert bool(damage) is (cut not in {*ends, 16}), cut
        assert all(sentence.startswith("s.journal: ") for sentence in damage)
        with kit.writer(path.parent) as journal:
            seq = journal.event("after", {})
        assert seq == frames + 1
        events, batches, damage = contents(kit, path.parent)
        assert (events, batches) == ([*expected(frames)[0], "after"], expected(frames)[1]), cut
        assert damage == []
        assert [p.name for p in path.parent.iterdir()] == ["s.journal"]


def test_a_repair_is_in_the_journal(kit, tmp_path):
    whole, ends = three_frames(kit, tmp_path)
    (tmp_path / "s.journal").write_bytes(whole[:-3])
    kit.writer(tmp_path).close()
    cut = ends[3] - 3 - ends[2]
    repaired = [e.payload["repaired"] for e in JournalReader(tmp_path).events()
                if "repaired" in e.payload]  # fmt: skip
    assert repaired == [
        {
            "offset": ends[2],
            "bytes_cut": cut,
            "damage": [
                (
                    f"s.journal: at byte {ends[2]}: the file ends inside a frame; {cut} bytes from "
                    "there on were not read"
                ),
            ],
        }
    ]


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_any_changed_byte_is_noticed_and_nothing_wrong_is_returned(kit, tmp_path, flip):
    whole, ends = three_frames(kit, tmp_path)
    for at in range(len(whole)):
        bad = bytearray(whole)
        bad[at] ^= flip
        (tmp_path / "s.journal").write_bytes(bad)
        events, batches, damage = contents(kit, tmp_path)
        frames = sum(end <= at for end in ends) if at >= 16 else 0
        assert (events, batches) == expected(frames), at
        assert len(damage) == 1, at


def test_frames_behind_damage_are_counted_and_kept_aside_on_repair(kit, tmp_path):
    """Damage in the middle is no torn tail: the second half may still matter to somebody."""
    whole, ends = three_frames(kit, tmp_path)
    bad = bytearray(whole)
    bad[ends[0] + 25] ^= 1
    (tmp_path / "s.journal").write_bytes(bad)
    events, batches, damage = contents(kit, tmp_path)
    lost = len(whole) - ends[0]
    assert (events, batches) == ([], [])
    assert damage == [
        (
            f"s.journal: at byte {ends[0]}: the checksum is wrong; {lost} bytes from there on were "
            "not read, at least 2 whole frames among them"
        ),
    ]
    with kit.writer(tmp_path) as journal:
        journal.event("after", {})
    assert contents(kit, tmp_path) == (["after"], [], [])
    assert (tmp_path / f"s.cut-{ends[0]}").read_bytes() == bytes(bad[ends[0] :])


def test_a_damaged_opening_does_not_hide_that_there_is_more(kit, tmp_path):
    whole, _ = three_frames(kit, tmp_path)
    bad = bytearray(whole)
    bad[40] ^= 1
    (tmp_path / "s.journal").write_bytes(bad)
    assert "at least 3 whole frames" in contents(kit, tmp_path)[2][0]
    kit.writer(tmp_path).close()
    assert (tmp_path / "s.cut-16").read_bytes() == bytes(bad[16:])


@quick
@given(data=st.data())
def test_random_rubbish_behind_good_frames_never_raises(kit, tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("j")
    whole, ends = three_frames(kit, directory)
    cut = data.draw(st.integers(16, len(whole)))
    rubbish = data.draw(st.binary(min_size=1, max_size=200))
    (directory / "s.journal").write_bytes(whole[:cut] + rubbish)
    events, batches, damage = contents(kit, directory)
    frames = sum(end <= cut for end in ends)
    if not whole.startswith(whole[:cut] + rubbish):
        assert damage
    assert events[: len(expected(frames)[0])] == expected(frames)[0]
    assert batches[: len(expected(frames)[1])] == expected(frames)[1]


def test_reading_takes_the_same_memory_for_ten_times_the_journal(kit, tmp_path):
    def peak(batches: int) -> int:
        directory = tmp_path / str(batches)
        with kit.writer(directory) as journal:
            for seq in range(batches):
                journal.records(kit.make_batch(seq, rows=500))
        tracemalloc.start()
        count = sum(1 for _ in JournalReader(directory).record_batches())
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert count == batches
        return top

    small, large = peak(40), peak(400)
    assert large < 1.2 * small
