"""Events have documented arguments; handlers are ordered; a failing plugin is quarantined."""

import pytest

from steelyard.kernel.errors import PluginError
from steelyard.plugins.hooks import Event, HookTable, event_from


def task_completed(task_id, result):
    """Fires when a task has ended well."""


@pytest.fixture
def table():
    return HookTable([event_from(task_completed), Event("mine", None)])


def test_an_event_is_a_documented_empty_function():
    event = event_from(task_completed)
    assert event == Event(
        "task_completed", ("task_id", "result"), "Fires when a task has ended well."
    )


def test_an_undocumented_event_is_not_offered():
    def silent(x):
        pass

    with pytest.raises(PluginError, match="'silent' has no docstring"):
        event_from(silent)


@pytest.mark.parametrize(
    "handler",
    [lambda a, b: None, lambda *a: None, lambda a, b, c=1: None, print],
    ids=["two", "any", "more", "builtin"],
)
def test_a_handler_that_takes_the_arguments_is_registered(table, handler):
    assert table.register("task_completed", handler, plugin="p").plugin == "p"


@pytest.mark.parametrize(
    "handler", [lambda: None, lambda a: None, lambda a, b, c: None, lambda a, *, b: None]
)
def test_a_handler_that_does_not_is_refused_at_registration(table, handler):
    with pytest.raises(PluginError, match=r"expected task_completed\(task_id, result\)"):
        table.register("task_completed", handler, plugin="p")


def test_an_unknown_event_is_refused_with_a_suggestion(table):
    with pytest.raises(PluginError, match="Did you mean 'task_completed'") as caught:
        table.register("task_complete", print, plugin="p")
    assert "Plugin p" in str(caught.value)


def test_what_can_not_be_called_is_refused(table):
    with pytest.raises(PluginError, match="can't be called"):
        table.register("mine", 3, plugin="p")  # type: ignore[arg-type]


def test_a_users_own_event_takes_any_arguments(table):
    table.declare(Event("deploy", None, "A user's own."))
    table.register("deploy", lambda a: a, plugin="p")
    assert len(table.handlers("deploy")) == 1


def test_an_event_is_not_redeclared_with_other_arguments(table):
    table.declare(Event("task_completed", ("task_id", "result")))
    with pytest.raises(PluginError, match="already declared"):
        table.declare(Event("task_completed", ("other",)))


def test_handlers_come_by_priority_then_by_registration(table):
    for name, priority in (("late", 200), ("first", 10), ("second", 10), ("middle", 100)):
        table.register("mine", print, plugin=name, priority=priority)
    assert [h.plugin for h in table.handlers("mine")] == ["first", "second", "middle", "late"]


def test_three_failures_in_a_row_quarantine_a_plugin_from_every_event(table):
    bad = table.register("mine", print, plugin="bad")
    table.register("task_completed", print, plugin="bad")
    table.register("mine", print, plugin="good")
    assert [table.failed(bad, "boom") for _ in range(3)] == [False, False, True]
    assert [h.plugin for h in table.handlers("mine")] == ["good"]
    assert table.handlers("task_completed") == ()
    assert table.counts["bad"].failures == 3
    assert table.counts["bad"].last_error == "mine: boom"


def test_a_success_forgives_earlier_failures(table):
    handler = table.register("mine", print, plugin="shaky")
    for _ in range(5):
        table.failed(handler, "boom")
        table.failed(handler, "slow", timeout=True)
        table.succeeded(handler)
    counts = table.counts["shaky"]
    assert (counts.calls, counts.failures, counts.timeouts) == (15, 10, 5)
    assert not counts.quarantined


def test_a_released_plugin_is_called_again(table):
    handler = table.register("mine", print, plugin="p")
    for _ in range(3):
        table.failed(handler, "boom")
    table.release("p")
    assert table.handlers("mine") == (handler,)


def test_handlers_are_unregistered_one_by_one_or_all(table):
    def one():
        pass

    table.register("mine", one, plugin="p")
    table.register("mine", print, plugin="p")
    assert table.unregister("mine", one) is True
    assert table.unregister("mine", one) is False
    table.forget("p")
    assert table.handlers("mine") == ()


def test_asking_for_an_unknown_event_is_an_error(table):
    with pytest.raises(PluginError, match="Unknown event 'mien'"):
        table.handlers("mien")
