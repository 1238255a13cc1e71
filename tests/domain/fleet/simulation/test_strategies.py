"""On one queue each strategy decides otherwise, and is the best at what it is for."""

from functools import cache
from itertools import combinations

import msgspec
import pytest

from steelyard.domain.fleet.requirements import unmet
from steelyard.domain.fleet.simulation.differences import differences
from steelyard.domain.fleet.simulation.generate import generated
from steelyard.domain.fleet.simulation.objectives import OBJECTIVE_OF, all_round, objectives
from steelyard.domain.fleet.simulation.play import play
from steelyard.domain.fleet.simulation.recording import Recording
from steelyard.runtime.plugin_host import PluginHost

HOST = PluginHost.standard()
SEEDS = (1, 2, 3)


@cache
def runs(seed):
    recording = generated(seed)
    return {name: play(recording, HOST.create("scheduler", name)) for name in OBJECTIVE_OF}


@cache
def values(seed, objective):
    found = {name: objectives(run) for name, run in runs(seed).items()}
    if objective == "all_round":
        return all_round(found)
    return {name: getattr(each, objective) for name, each in found.items()}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", OBJECTIVE_OF)
def test_a_strategy_wins_on_its_own_objective(name, seed):
    """Alone: every other one is worse."""
    mine = values(seed, OBJECTIVE_OF[name])
    rivals = {other: value for other, value in mine.items() if other != name}
    assert mine[name] < min(rivals.values()), mine


@pytest.mark.parametrize("seed", SEEDS)
def test_every_task_is_carried_out_under_every_strategy(seed):
    for name, run in runs(seed).items():
        assert not run.unserved, name
        assert len({played.spec.task_id for played in run.played}) == len(run.recording.jobs)


def test_no_two_strategies_decide_alike():
    for (one, first), (other, second) in combinations(runs(1).items(), 2):
        apart = differences(first.choices, second.choices)
        assert len(apart) > len(first.choices) / 4, (one, other)


@pytest.mark.parametrize("name", OBJECTIVE_OF)
def test_requirements_hold_under_every_strategy(name):
    run = runs(1)[name]
    has = {host.worker_id: host.capabilities for host in run.recording.hosts}
    for played in run.played:
        needs = played.spec.requirements
        assert not unmet(needs, played.worker_id, has[played.worker_id])


def test_slots_hold_under_every_strategy():
    for run in runs(1).values():
        slots = {host.worker_id: host.slots for host in run.recording.hosts}
        busy = dict.fromkeys(slots, 0)
        # An end frees its slot for a start at the same moment.
        changes = [(p.started_s, 1, p.worker_id) for p in run.played]
        changes += [(p.ended_s, -1, p.worker_id) for p in run.played]
        for _, step, worker in sorted(changes):
            busy[worker] += step
            assert 0 <= busy[worker] <= slots[worker]


def test_a_recording_played_twice_is_the_same_to_the_nanosecond():
    for name in OBJECTIVE_OF:
        again = play(generated(1), HOST.create("scheduler", name))
        assert again.choices == runs(1)[name].choices
        assert not differences(again.choices, runs(1)[name].choices)


def test_a_recording_can_be_kept_as_json():
    recording = generated(7, tasks=20, workers=5)
    assert msgspec.json.decode(msgspec.json.encode(recording), type=Recording) == recording
