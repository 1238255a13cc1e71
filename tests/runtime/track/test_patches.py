"""A watched function behaves as before, and is the very same again afterwards."""

import functools
import inspect
import threading

import pytest

from steelyard.runtime.track.muting import muted
from steelyard.runtime.track.patches import PatchSet
from steelyard.testing.contracts.framework import RecordingSink


class Base:
    def inherited(self, x):
        return x + 1


class Library(Base):
    def plain(self, x, *, twice=False):
        """Say how."""
        return x * (2 if twice else 1)

    def outer(self, x):
        return self.plain(x)

    def broken(self, x):
        raise KeyError(x)

    @classmethod
    def of_class(cls, x):
        return cls.__name__, x

    @staticmethod
    def static(x):
        return x


@pytest.fixture
def library():
    """Return a class of this test's own."""
    names = ("plain", "outer", "broken", "of_class", "static")
    return type("Library", (Base,), {name: vars(Library)[name] for name in names})


@pytest.fixture
def sink():
    return RecordingSink({})


@pytest.fixture
def failures():
    return []


@pytest.fixture
def patches(sink, failures):
    made = PatchSet("toy", lambda: sink, failures.append)
    yield made
    made.undo()


def tell(sink, result, _self, x, **_named):
    sink.log_metrics({"x": x}, x)


def told(sink):
    return [step for step, _ in sink.told.metrics.get("x", [])]


def test_a_call_is_seen_with_its_arguments_and_result(library, patches, sink):
    seen = []
    patches.watch(library, "plain", before=lambda *a, **k: seen.append((a[2:], k)))
    patches.watch(library, "outer", after=lambda sink, result, *a, **k: seen.append(result))
    assert library().plain(3, twice=True) == 6
    assert library().outer(4) == 4
    assert seen == [((3,), {"twice": True}), ((4,), {}), 4]


def test_signature_name_and_documentation_stay(library, patches):
    before = inspect.signature(library.plain)
    patches.watch(library, "plain", after=tell)
    assert inspect.signature(library.plain) == before
    assert (library.plain.__name__, library.plain.__doc__) == ("plain", "Say how.")


@pytest.mark.parametrize("name", ["plain", "of_class", "static", "inherited"])
def test_undone_the_very_same_object_is_there(library, patches, name):
    """Functions, class and static methods; what was inherited is inherited again."""
    before = dict(vars(library))
    patches.watch(library, name, after=lambda *_: None)
    assert vars(library).get(name) is not before.get(name)
    assert patches.undo() == []
    assert {k: v for k, v in vars(library).items() if before.get(k) is not v} == {}
    assert set(vars(library)) == set(before)


def test_class_and_static_methods_stay_what_they_are(library, patches, sink):
    patches.watch(library, "of_class", after=tell)
    patches.watch(library, "static", after=lambda sink, result, x: sink.log_metrics({"x": x}, x))
    assert library.of_class(1) == ("Library", 1)
    assert library().static(2) == 2
    assert told(sink) == [1, 2]


def test_a_module_can_be_watched_like_a_class(patches, sink):
    import statistics

    before = statistics.fmean
    patches.watch(statistics, "fmean", after=lambda sink, result, x: sink.log_metrics({"x": 0}, 7))
    assert statistics.fmean([1, 2]) == 1.5
    assert told(sink) == [7]
    patches.undo()
    assert statistics.fmean is before


def test_what_a_hook_raises_reaches_nobody_and_ends_all_hooks(library, patches, sink, failures):
    """Told once; the function goes on as if nobody had looked."""

    def fails(*_args, **_named):
        message = "a bug of ours"
        raise ZeroDivisionError(message)

    patches.watch(library, "outer", before=fails, after=tell)
    patches.watch(library, "plain", after=tell)
    assert [library().outer(1), library().outer(2), library().plain(3)] == [1, 2, 3]
    (failure,) = failures
    assert "a bug of ours" in str(failure)
    assert told(sink) == []


def test_an_error_of_the_function_goes_on_and_is_not_seen(library, patches, sink):
    patches.watch(library, "broken", after=tell)
    with pytest.raises(KeyError, match="5"):
        library().broken(5)
    assert told(sink) == []


def test_an_interrupt_in_a_hook_is_the_users(library, patches):
    def interrupted(*_args, **_named):
        raise KeyboardInterrupt

    patches.watch(library, "plain", after=interrupted)
    with pytest.raises(KeyboardInterrupt):
        library().plain(1)


def test_what_a_hook_does_is_seen_by_no_hook(library, patches, sink):
    """Otherwise a hook that uses the library would call itself without end."""

    def uses(sink, result, self, x, **_named):
        self.plain(x + 100)
        tell(sink, result, self, x)

    patches.watch(library, "plain", after=uses)
    library().plain(1)
    assert told(sink) == [1]


def test_the_outermost_call_mutes_what_it_says(library, sink, failures):
    """Its own framework, all, or none; unless a hook asks to hear within."""
    for mutes, inner, expected in [
        (frozenset(), False, [1, 1]),
        (frozenset({"toy"}), False, [1]),
        (frozenset({"*"}), False, [1]),
        (frozenset({"other"}), False, [1, 1]),
        (frozenset({"*"}), True, [1, 1]),
    ]:
        sink = RecordingSink({})
        patches = PatchSet("toy", lambda sink=sink: sink, failures.append)
        patches.watch(library, "outer", after=tell, mutes=mutes)
        patches.watch(library, "plain", after=tell, inner=inner)
        library().outer(1)
        patches.undo()
        assert told(sink) == expected, (mutes, inner)


def test_muting_ends_with_the_call_also_by_an_error(library, patches, sink):
    patches.watch(library, "broken", mutes=frozenset({"*"}))
    patches.watch(library, "plain", after=tell)
    with pytest.raises(KeyError):
        library().broken(1)
    library().plain(2)
    with muted():
        library().plain(3)
    assert told(sink) == [2]


def test_muting_is_of_one_thread(library, patches, sink):
    patches.watch(library, "plain", after=tell)
    with muted():
        thread = threading.Thread(target=library().plain, args=(9,))
        thread.start()
        thread.join()
    assert told(sink) == [9]


def test_arguments_can_be_put_in_another_form(library, patches, sink):
    """As for a value that is brought from a device once, for both."""
    patches.watch(library, "plain", arguments=lambda self, x: ((self, x + 1), {}), after=tell)
    assert library().plain(1) == 2
    assert told(sink) == [2]


def test_arguments_stay_when_the_hook_has_none_or_fails(library, patches, failures):
    patches.watch(library, "plain", arguments=lambda self, x: None if x else 1 / x)
    assert [library().plain(1), library().plain(0)] == [1, 0]
    assert len(failures) == 1


def patch_over(library, calls):
    """Patch as another library would: over what is there, keeping it below."""
    below = library.plain

    @functools.wraps(below)
    def theirs(self, x, **named):
        calls.append(x)
        return below(self, x, **named)

    library.plain = theirs
    return theirs


def test_somebody_elses_patch_over_ours_stays(library, patches, sink, caplog):
    """Ours is a pass-through below it, and that is said."""
    calls = []
    patches.watch(library, "plain", after=tell)
    theirs = patch_over(library, calls)
    assert patches.undo() == ["Library.plain"]
    assert library.plain is theirs
    assert library().plain(3) == 3
    assert (calls, told(sink)) == ([3], [])
    assert "Library.plain was patched by somebody else" in caplog.text


def test_a_patch_below_ours_and_one_that_was_taken_back_are_no_trouble(library, sink, failures):
    """Installed again over theirs; and after they put our old function back, in its place."""
    original, calls = library.plain, []
    first = PatchSet("toy", lambda: sink, failures.append)
    first.watch(library, "plain", after=tell)
    ours = library.plain
    theirs = patch_over(library, calls)
    first.undo()
    second = PatchSet("toy", lambda: sink, failures.append)
    second.watch(library, "plain", after=tell)
    library().plain(1)
    assert second.undo() == []
    assert library.plain is theirs
    assert (calls, told(sink)) == ([1], [1])
    library.plain = ours
    third = PatchSet("toy", lambda: sink, failures.append)
    third.watch(library, "plain", after=tell)
    library().plain(2)
    assert third.undo() == []
    assert library.plain is original
    assert told(sink) == [1, 2]


def test_two_sets_over_one_another_come_off_in_any_order(library, sink, failures):
    original = library.plain
    first, second = (PatchSet(name, lambda: sink, failures.append) for name in ("a", "b"))
    first.watch(library, "plain", after=tell)
    second.watch(library, "plain", after=tell)
    library().plain(1)
    assert first.undo() == ["Library.plain"]
    assert second.undo() == []
    library().plain(2)
    assert told(sink) == [1, 1]
    assert library.plain.__wrapped__ is original


def test_a_librarys_own_hook_is_taken_out_in_the_end(patches, sink, failures):
    listeners = []
    heard = patches.hook(lambda sink, x: sink.log_metrics({"x": x}, x))
    listeners.append(heard)
    patches.on_undo(listeners.clear)
    heard(1)
    with muted():
        heard(2)
    patches.undo()
    heard(3)
    assert (listeners, told(sink), failures) == ([], [1], [])


def test_what_comes_after_the_end_is_undone_at_once(library, patches):
    """As when a module is imported while the last run stops."""
    before, listeners = library.plain, [1]
    patches.undo()
    patches.watch(library, "plain", after=tell)
    patches.on_undo(listeners.clear)
    assert library.plain is before
    assert listeners == []


def test_many_threads_are_seen_each_once(library, patches, sink):
    patches.watch(library, "plain", after=tell)
    threads = [
        threading.Thread(target=lambda: [library().plain(i) for i in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told(sink)) == 2_000
