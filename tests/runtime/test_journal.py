import threading
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.runtime.journal import (
    OPENED_EVENT,
    JournalReader,
    journal_directory,
)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
payloads = st.dictionaries(st.text(max_size=8), plain, max_size=4)
quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quick
@given(items=st.lists(st.tuples(st.text(max_size=12), payloads) | st.integers(0, 6), max_size=12))
def test_events_and_batches_in_any_order_are_read_back(kit, tmp_path_factory, items):
    directory = tmp_path_factory.mktemp("j")
    batches = {i: kit.make_batch(i) for i in range(7)}
    with kit.writer(directory) as journal:
        for item in items:
            journal.records(batches[item]) if isinstance(item, int) else journal.event(*item)
    reader = JournalReader(directory)
    events = kit.own_events(reader)
    assert [(event.type, event.payload) for event in events] == [
        item for item in items if not isinstance(item, int)
    ]
    numbers = [item for item in items if isinstance(item, int)]
    assert list(reader.record_batches()) == [batches[n] for n in dict.fromkeys(numbers)]
    assert reader.damage == []


def test_an_event_says_who_wrote_it_when_and_in_which_place(kit, tmp_path):
    with kit.writer(tmp_path, "controller", run_id="r1", clock=kit.StepClock(7)) as journal:
        seqs = [journal.event("a.b", {}), journal.event("a.c", {"x": 1})]
    opened, first, second = JournalReader(tmp_path).events()
    assert seqs == [first.seq, second.seq] == [1, 2]
    assert (opened.type, opened.seq) == (OPENED_EVENT, 0)
    assert (second.run_id, second.stream_id) == ("r1", "controller")
    assert second.mono_ns - first.mono_ns == 1_000_000
    assert second.wall_ns - second.mono_ns == 10**18
    assert second.host_id == opened.host_id
    assert second.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_threads_may_share_a_writer(kit, tmp_path):
    with kit.writer(tmp_path) as journal:

        def write(name: int) -> None:
            for i in range(200):
                journal.event("e", {"thread": name, "i": i})

        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    reader = JournalReader(tmp_path)
    events = kit.own_events(reader)
    assert [event.seq for event in events] == list(range(1, 801))
    for n in range(4):
        assert [e.payload["i"] for e in events if e.payload["thread"] == n] == list(range(200))
    assert reader.damage == []


def test_the_journal_of_a_run_lies_below_its_artifacts(kit):
    assert journal_directory(Path("/a/b")) == Path("/a/b/journal")
