"""What is submitted has bounds, also once it is split."""

import msgspec
from fleet_host import Plain, fleet_host, spec

from steelyard.app.fleet import submitting
from steelyard.app.fleet.parts import Parts
from steelyard.app.fleet.settings import FleetSettings
from steelyard.app.fleet.submitting import prepare


class Splits(Plain):  # type: ignore[misc]  # support modules are Any to mypy
    """Makes four of one."""

    def prepare(self, spec, earlier):
        return [msgspec.structs.replace(spec, task_id=f"{spec.task_id}-{n}") for n in range(4)]


def test_tasks_that_are_split_can_not_be_without_end(monkeypatch):
    """A few thousand suites of a thousand shards each would fill the memory of a coordinator."""
    monkeypatch.setattr(submitting, "SPLIT_MAX", 10)
    host = fleet_host()
    host.register("task_kind", "splits", Splits)
    parts = Parts(host, FleetSettings(), {})
    suites = [msgspec.structs.replace(spec(f"s{n}"), kind="splits") for n in range(4)]
    plain = [spec(f"t{n}") for n in range(9)]
    found = prepare([*suites, *plain], parts, lambda _: (), 1, b"abc")
    refused = [each for each in found if each.refusal]
    assert [each.asked for each in refused] == ["s2", "s3"]
    assert "more than 10 tasks" in refused[0].refusal
    assert len(found) - len(refused) == 8 + 9
