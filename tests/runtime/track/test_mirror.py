"""A mirror follows the journal: dead, slow, hanging and half-delivered backends."""

import threading
import time

import pytest

from steelyard.domain.track.courier import Policy
from steelyard.domain.track.events import ArtifactLogged, Metric, RunEnded
from steelyard.domain.track.ports import Delivery
from steelyard.domain.track.routing import Rule
from steelyard.domain.track.thinning import Keep, Sampling
from steelyard.kernel.errors import FileError, PluginError, UsageError
from steelyard.runtime.clock import SystemClock
from steelyard.runtime.track.blobs import BlobStore
from steelyard.runtime.track.mirror import (
    Mirror,
    MirrorFile,
    is_driven,
    mirror_path,
    mirrors_of,
    read_mirror,
)
from steelyard.runtime.track.reader import read_run

QUICK = Policy(batch_max=100, queue_max=1_000, first_wait_ns=1_000_000, wait_max_ns=4_000_000)


class Memory:
    """Keeps what it is told; `fails` says how many calls of `log` raise before one works."""

    def __init__(self, fails=0, take=None):
        self.fails, self.take = fails, take
        self.items, self.runs, self.ends, self.flushed = [], [], [], 0

    def open(self, run):
        self.runs.append(run)
        return f"ref-{run.run_id}"

    def log(self, items):
        if self.fails:
            self.fails -= 1
            raise ConnectionError("refused")
        taken = len(items) if self.take is None else min(self.take, len(items))
        self.items.extend(items[:taken])
        return Delivery(taken)

    def flush(self):
        self.flushed += 1

    def close(self, end):
        self.ends.append(end)

    @property
    def steps(self):
        return [item.step for item in self.items if isinstance(item, Metric)]


@pytest.fixture
def mirror(store):
    """Return a function that makes a mirror of a run to a backend, going on where one stopped."""

    def make(run_id, backend, *, rules=(), sampling=None, label="m"):
        place = store.place(run_id)
        new = MirrorFile(backend=label, rules=tuple(rules), sampling=sampling)
        file = read_mirror(place, label) or new
        return Mirror(
            place, BlobStore(store.blobs), label, file, lambda: backend,
            clock=SystemClock(), policy=QUICK,
        )  # fmt: skip

    return make


def counted(count, first=0):
    return [(step, {"m": float(step)}) for step in range(first, first + count)]


def test_all_of_an_ended_run_is_delivered_in_order_and_its_end_told(make_run, mirror, store):
    make_run("a", counted(2_500), params={"lr": 1})
    backend = Memory()
    driven = mirror("a", backend)
    assert driven.run() is True
    assert backend.steps == list(range(2_500))
    assert (backend.runs[0].name, backend.runs[0].tags) == ("name of a", {"t": "1"})
    (end,) = backend.ends
    assert (end.status, backend.flushed) == ("finished", 1)
    # The time of the run's end, not of its delivery.
    assert end.ended_ns == read_run(store.place("a")).ended_ns
    kept = mirrors_of(store.place("a"))["m"].place
    assert kept == driven.place
    assert (kept.delivered, kept.retried, kept.dropped, kept.closed) == (2_501, 0, 0, True)
    assert kept.reference == "ref-a"


def test_a_backend_that_fails_for_a_while_gets_all_in_order(make_run, mirror):
    make_run("a", counted(250))
    backend = Memory(fails=3)
    driven = mirror("a", backend)
    assert driven.run()
    assert backend.steps == list(range(250))
    assert (driven.place.delivered, driven.place.retried) == (250, 300)


def test_a_backend_that_takes_a_part_gets_the_rest_again(make_run, mirror):
    make_run("a", counted(50))
    backend = Memory(take=7)
    driven = mirror("a", backend)
    assert driven.run()
    assert backend.steps == list(range(50))
    assert driven.place.delivered == 50


def test_a_dead_backend_ends_in_time_and_a_later_mirror_goes_on(make_run, mirror, store):
    make_run("a", counted(300))
    half = Memory()
    half.log = lambda items: half.items.extend(items[:40]) or Delivery(40)
    first = mirror("a", half)
    ended = []
    original = half.log

    def dies(items):
        if len(half.items) >= 120:
            if first._deadline_ns is None:
                first.stop(within_s=0.3)
            raise ConnectionError("gone")
        return original(items)

    half.log = dies
    ended.append(first.run())  # and would go on for ever if it did not end in time
    assert ended == [False]
    assert (first.place.delivered, first.place.closed) == (120, False)
    assert "ConnectionError: gone" in first.place.last_error
    assert half.ends == [None]
    second = Memory()
    assert mirror("a", second).run()
    assert half.steps + second.steps == list(range(300))
    assert second.runs[0].reference == "ref-a"
    assert read_mirror(store.place("a"), "m").place.delivered == 300


def test_a_running_run_is_followed_to_its_end(make_run, mirror):
    writer = make_run("a", counted(10), status=None)
    backend = Memory()
    thread = threading.Thread(target=mirror("a", backend).run)
    thread.start()
    deadline = time.monotonic() + 60
    while len(backend.items) < 10 and time.monotonic() < deadline:
        time.sleep(0.01)
    for step, values in counted(10, first=10):
        writer.metrics(step, values)
    writer.write(RunEnded(status="finished"))
    writer.close()
    thread.join(60)
    assert not thread.is_alive()
    assert backend.steps == list(range(20))
    assert [end.status for end in backend.ends] == ["finished"]


def test_a_run_that_is_killed_is_told_as_killed(make_run, mirror):
    make_run("a", counted(3), status=None).close()
    backend = Memory()
    assert mirror("a", backend).run()
    assert (backend.steps, [end.status for end in backend.ends]) == ([0, 1, 2], ["killed"])


def test_a_sync_of_a_running_run_leaves_it_open_and_goes_on_later(make_run, mirror):
    writer = make_run("a", counted(5), status=None)
    first, second = Memory(), Memory()
    driven = mirror("a", first)
    assert driven.run(follow=False)
    assert (first.ends, driven.place.closed) == ([None], False)
    writer.metrics(5, {"m": 5.0})
    writer.write(RunEnded(status="finished"))
    writer.close()
    assert mirror("a", second).run(follow=False)
    assert (second.steps, [end.status for end in second.ends]) == ([5], ["finished"])


def test_rules_keep_back_and_count(make_run, mirror):
    make_run("a", [(0, {"loss": 1.0, "gpu/0": 2.0}), (1, {"gpu/0": 3.0})], params={"p": 1})
    backend = Memory()
    driven = mirror("a", backend, rules=[Rule(to=(), name="gpu/*")])
    assert driven.run()
    assert [item.name for item in backend.items if isinstance(item, Metric)] == ["loss"]
    assert (driven.place.delivered, driven.place.skipped) == (2, 2)


def test_a_sampled_run_is_counted_and_a_mirror_that_starts_again_goes_on_alike(make_run, mirror):
    make_run("a", counted(1_000))
    sampling = Sampling(every=10)
    half = Memory()
    half.log = lambda items: half.items.extend(items[:30]) or Delivery(30)
    first = mirror("a", half, sampling=sampling)
    first._courier.policy = Policy(batch_max=30, queue_max=500)
    first._send = lambda items, send=first._send: send(items) or first.stop(0)
    assert first.run() is False
    second = Memory()
    driven = mirror("a", second)
    assert driven.run()
    assert half.steps + second.steps == list(range(0, 1_000, 10))
    assert (driven.place.delivered, driven.place.sampled, driven.place.dropped) == (100, 900, 0)


def test_what_stands_for_the_last_interval_is_told_before_the_end(make_run, mirror):
    make_run("a", counted(100))
    backend = Memory()
    driven = mirror("a", backend, sampling=Sampling(interval_s=86_400 * 365, keep=Keep.MEAN))
    assert driven.run()
    assert [(item.step, item.value) for item in backend.items] == [(99, 49.5)]
    assert (driven.place.delivered, driven.place.sampled, driven.place.closed) == (1, 99, True)


def test_an_artifact_is_handed_over_by_its_path(make_run, mirror, store):
    writer = make_run("a", status=None)
    blob = BlobStore(store.blobs).put_bytes(b"weights")
    writer.write(ArtifactLogged(name="m.bin", sha256=blob.sha256, size=blob.size))
    writer.write(RunEnded(status="finished"))
    writer.close()
    backend = Memory()
    mirror("a", backend).run()
    (item,) = backend.items
    assert (item.name, item.sha256) == ("m.bin", blob.sha256)
    with open(item.path, "rb") as file:  # noqa: PTH123  as a backend would
        assert file.read() == b"weights"


def test_children_of_a_run_are_mirrored_with_it(make_run, mirror, store):
    import os

    writer = make_run("a", counted(3), status=None)
    pid = os.fork()
    if pid == 0:
        writer.metrics(100, {"m": 100.0})
        os._exit(0)
    os.waitpid(pid, 0)
    writer.write(RunEnded(status="finished"))
    writer.close()
    backend = Memory()
    assert mirror("a", backend).run()
    assert sorted(backend.steps) == [0, 1, 2, 100]


def test_an_answer_that_is_none_is_the_backends_fault(make_run, mirror):
    make_run("a", counted(1))
    backend = Memory()
    driven = mirror("a", backend)
    backend.log = lambda items: driven.stop(0)
    assert driven.run() is False
    assert "not a Delivery" in driven.place.last_error
    assert driven.place.delivered == 0


def test_a_failed_close_is_tried_again(make_run, mirror):
    make_run("a", counted(3))
    backend = Memory()
    tries = []

    def flush():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("busy")

    backend.flush = flush
    driven = mirror("a", backend)
    assert driven.run()
    assert (len(tries), len(backend.runs), backend.steps) == (3, 3, [0, 1, 2])
    assert driven.place.closed


def test_a_run_is_mirrored_by_one_process_at_a_time(make_run, mirror):
    writer = make_run("a", counted(1), status=None)
    driven = mirror("a", Memory())
    thread = threading.Thread(target=driven.run)
    thread.start()
    try:
        deadline = time.monotonic() + 60
        while not driven.place.delivered and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(UsageError, match="by another process"):
            mirror("a", Memory()).run()
    finally:
        writer.write(RunEnded(status="finished"))
        writer.close()
        thread.join(60)


def test_a_run_that_is_deleted_under_a_mirror_ends_it(make_run, mirror, store):
    import shutil

    writer = make_run("a", counted(3), status=None)
    driven = mirror("a", Memory())
    thread = threading.Thread(target=driven.run)
    thread.start()
    deadline = time.monotonic() + 60
    kept = None
    while not (kept and kept.place.delivered) and time.monotonic() < deadline:
        time.sleep(0.01)
        kept = read_mirror(store.place("a"), "m")
    shutil.rmtree(store.place("a").path)
    thread.join(60)
    writer.close()
    assert not thread.is_alive()
    assert driven.place.last_error
    assert driven.finished.is_set()


def test_a_place_that_can_not_be_read_is_named(make_run, store):
    make_run("a")
    path = mirror_path(store.place("a"), "m")
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(PluginError, match=r"m\.json"):
        read_mirror(store.place("a"), "m")


def test_a_directory_that_can_not_be_written_is_named(make_run, mirror, store):
    make_run("a", counted(3))
    mirror_path(store.place("a"), "m").parent.write_text("a file is in its way")
    place = store.place("a")
    with pytest.raises(FileError, match=r"Can't write .*m\.lock"):
        is_driven(place, "m")
