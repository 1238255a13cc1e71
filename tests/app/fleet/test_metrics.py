"""What /metrics says is what happened, in words that Prometheus' own parser takes."""

import math
import re
from pathlib import Path

import msgspec
from fleet_host import coordinator, spec, until
from fleet_rig import InstantEngine
from prometheus_client.parser import text_string_to_metric_families

from steelyard.app.fleet.measures import Histogram, Measures
from steelyard.app.fleet.metrics import FAMILIES, PREFIX, FleetMetrics, prometheus
from steelyard.domain.fleet.model import Attempt, Backoff, Ending, Outcome, Task
from steelyard.domain.fleet.states import TaskState
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.ports import Change

NOW = Backoff(first_s=0.01, jitter=0.0)


def parsed(metrics):
    return {family.name: family for family in text_string_to_metric_families(prometheus(metrics))}


def values(families, name):
    return {(s.name.removeprefix(PREFIX), *s.labels.values()): s.value
            for s in families[PREFIX + name].samples}  # fmt: skip


def test_every_family_has_help_and_a_type_even_where_nothing_happened():
    families = parsed(FleetMetrics(leads=False))
    assert len(families) == len(FAMILIES)
    for family in FAMILIES:
        found = families[PREFIX + family.name.removesuffix("_total")]
        assert (found.documentation, found.type) == (family.text, family.kind)
        assert (family.kind == "counter") == family.name.endswith("_total")


def test_names_that_need_it_are_escaped():
    odd = 'a"b\\c\nd'
    families = parsed(FleetMetrics(leads=True, events={odd: 1}, scheduler=odd,
                                   scheduler_metrics={"deep": {odd: math.nan}}))  # fmt: skip
    assert values(families, "events") == {("events_total", odd): 1}
    assert families[PREFIX + "scheduler"].samples[0].labels["scheduler"] == odd


def test_a_bucket_counts_what_is_below_it_and_at_its_end():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 99.0, math.nan, math.inf):
        histogram.observe(value)
    found = histogram.distribution()
    assert found.counts == (2, 2, 1)
    families = parsed(FleetMetrics(leads=True, durations={"queue_wait": found}))
    assert values(families, "queue_wait_seconds") == {
        ("queue_wait_seconds_bucket", "1.0"): 2, ("queue_wait_seconds_bucket", "2.0"): 4,
        ("queue_wait_seconds_bucket", "+Inf"): 5, ("queue_wait_seconds_sum",): 104.0,
        ("queue_wait_seconds_count",): 5,
    }  # fmt: skip


def test_a_wait_counts_once_however_often_its_lease_is_saved():
    measures = Measures()
    measures.begin(5)
    task = Task(spec=spec("t"), state=TaskState.LEASED, token=5, ready_ns=NS_PER_S,
                leased_ns=3 * NS_PER_S)  # fmt: skip
    running = msgspec.structs.replace(task, state=TaskState.RUNNING)
    older = msgspec.structs.replace(task, token=4)
    measures.saw(Change(tasks=(task, older), next_token=6), 0.001)
    measures.saw(Change(tasks=(running,), next_token=6), 0.001)
    found = measures.queue_wait.distribution()
    assert (sum(found.counts), found.sum) == (1, 2.0)
    assert sum(measures.ledger_commit.distribution().counts) == 2


def test_an_attempt_that_never_started_took_no_time():
    measures = Measures()
    lost = Attempt(task_id="t", attempt=1, token=1, worker_id="w", leased_ns=1, ended_ns=NS_PER_S,
                   outcome=Outcome(ending=Ending.LOST))  # fmt: skip
    ran = msgspec.structs.replace(lost, started_ns=1, outcome=Outcome(ending=Ending.SUCCEEDED))
    measures.saw(Change(attempts=(lost, ran)), 0.0)
    assert dict(measures.attempts) == dict.fromkeys(map(str, Ending), 0) | {
        "lost": 1, "succeeded": 1
    }  # fmt: skip
    assert sum(measures.attempt_duration.distribution().counts) == 1


def test_the_page_lists_the_families_that_there_are():
    page = (Path(__file__).parents[3] / "docs" / "fleet-observability.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [(PREFIX + each.name, each.kind, each.text) for each in FAMILIES]


async def test_counters_count_all_that_happened_and_go_on_while_nobody_leads(tmp_path):
    def behave(lease, task):
        bad = lease.attempt == 1 and task.task_id == "t0"
        return Outcome(ending=Ending.FAILED if bad else Ending.SUCCEEDED)

    fleet = coordinator(tmp_path, InstantEngine(behave=behave))
    async with fleet:
        await fleet.submit([spec(f"t{n}", retries=1, backoff=NOW) for n in range(5)])
        await fleet.ended([f"t{n}" for n in range(5)])
        await until(lambda: fleet.metrics().events.get("task_completed") == 5)
        leading = parsed(fleet.metrics())
    counted = {key[-1]: value for key, value in values(leading, "attempts").items() if value}
    assert counted == {"succeeded": 5, "failed": 1}
    for name in ("queue_wait_seconds", "attempt_duration_seconds"):
        assert values(leading, name)[f"{name}_count",] == 6
    assert values(leading, "scheduling_pass_seconds")["scheduling_pass_seconds_count",] >= 2
    after = parsed(fleet.metrics())
    assert values(after, "leader") == {("leader",): 0.0}
    for name, family in leading.items():
        if family.type in {"counter", "histogram"}:
            then, now = (values(each, name.removeprefix(PREFIX)) for each in (leading, after))
            assert all(now[key] >= value for key, value in then.items()), name
