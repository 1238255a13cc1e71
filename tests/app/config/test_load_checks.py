"""Combinations of loads that can't be honoured are refused, and those that can are planned."""

import json

import pytest

from steelyard.kernel.errors import ConfigError

TRACE = '{"input_length": 4, "timestamp": 1000}\n{"input_length": 4, "timestamp": 1500}\n'


@pytest.fixture
def trace(tmp_path, plan_of):
    """Return a function that makes a plan of a trace in the current directory."""
    (tmp_path / "trace.jsonl").write_text(TRACE)
    (tmp_path / "text.jsonl").write_text('{"text": "hi"}\n')
    return lambda text=None, **flags: plan_of(text, {}, **{"input_file": "trace.jsonl", **flags})


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"concurrency_ramp_duration": 5}, "--concurrency-ramp-duration: needs a concurrency"),
        ({"prefill_concurrency_ramp_duration": 5}, "needs a prefill concurrency"),
        ({"request_rate_ramp_duration": 5}, "needs a request rate"),
        ({"concurrency_ramp_duration": -5, "concurrency": 3}, "got -5; expected 0 or more"),
        ({"ramp_strategy": "linear", "concurrency": 3}, "shapes ramps, and there is none"),
        (
            {"ramp_strategy": "linera", "concurrency": 3, "concurrency_ramp_duration": 5},
            "Did you mean 'linear'?",
        ),
        (
            {"concurrency_ramp_duration": 5, "concurrency": 3,
             "arrival_pattern": "concurrency_burst"},
            "begins with all at once",
        ),
        ({"request_cancellation_delay": 1}, "needs a cancellation rate"),
        ({"request_cancellation_rate": 101}, "got 101; expected at most 100"),
        ({"request_cancellation_rate": -1}, "got -1; expected 0 or more"),
        ({"num_warmup_sessions": 0}, "got 0; expected 1 or more"),
        ({"warmup_concurrency_ramp_duration": 5}, "there is no warm-up without"),
        ({"slice_duration": 0}, "got 0; expected more than 0"),
        ({"conversation_turn_mean": 0.5}, "got 0.5; expected 1 or more"),
        ({"conversation_turn_delay_stddev": 5}, "needs a mean delay"),
        ({"fixed_schedule": True}, "synthetic prompts have no times"),
        ({"fixed_schedule_auto_offset": True}, "needs --fixed-schedule"),
        ({"request_rate": 5, "arrival_pattern": "fixed_schedule"}, "is asked for by"),
        ({"request_rate": 5, "arrival_pattern": "even"}, "; or concurrency_burst, with a concurr"),
        ({"request_rate": 5, "request_rate_series": "r.json"}, "there is a request rate too"),
        ({"request_rate_series": "r.json"}, "can't read"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused(plan_of, flags, told):
    with pytest.raises(ConfigError) as caught:
        plan_of(None, {}, **flags)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"request_rate": 5}, "--request-rate: a fixed schedule has the times of its trace"),
        ({"arrival_pattern": "constant"}, "--no-fixed-schedule"),
        ({"dataset_sampling_strategy": "shuffle"}, "got 'shuffle'; expected sequential"),
        (
            {"fixed_schedule_auto_offset": True, "fixed_schedule_start_offset": 5},
            "leave one of the two out",
        ),
        (
            {"fixed_schedule_start_offset": 9, "fixed_schedule_end_offset": 5},
            "got 5; expected the start offset, 9, or more",
        ),
        ({"fixed_schedule_end_offset": -5}, "got -5; expected 0 or more"),
        ({"conversation_turn_mean": 3}, "shapes synthetic conversations"),
    ],
)
def test_what_a_fixed_schedule_excludes_is_refused(trace, flags, told):
    with pytest.raises(ConfigError) as caught:
        trace(**flags)
    assert told in str(caught.value)


def test_a_trace_with_times_is_replayed_unless_told_otherwise(trace):
    """A concurrency is a ceiling then; the trace's end is the phase's."""
    plan = trace(concurrency=3)
    (phase,) = plan.phases
    assert (phase.fixed_schedule, phase.open_loop, phase.concurrency) == (True, True, 3)
    assert (phase.request_count, phase.session_count) == (None, None)
    assert phase.options["path"] == f"{plan.artifact_dir}/dataset/schedule.i64"
    assert plan.dataset.schedule.auto_offset
    plan = trace(fixed_schedule=False, request_rate=5)
    assert (plan.phases[0].fixed_schedule, plan.dataset.schedule) == (False, None)


def test_a_file_without_times_is_not_replayed_by_itself(trace):
    assert not trace(input_file="text.jsonl").phases[0].fixed_schedule
    assert trace(input_file="text.jsonl", fixed_schedule=True).phases[0].fixed_schedule


def test_a_start_offset_is_where_the_schedule_begins(trace):
    schedule = trace(fixed_schedule_start_offset=1200, fixed_schedule_end_offset=2000)
    schedule = schedule.dataset.schedule
    assert (schedule.auto_offset, schedule.start_ms, schedule.end_ms) == (False, 1200, 2000)


def test_a_warm_up_before_a_replay_keeps_its_own_load(trace):
    warmup, profiling = trace(concurrency=3, warmup_request_count=2).phases
    assert (warmup.fixed_schedule, warmup.concurrency) == (False, 3)
    assert profiling.fixed_schedule


def test_phases_of_a_file_replay_when_they_say_so(trace):
    first = "{name: a, concurrency: 1, request_count: 1}"
    plan = trace(f"phases: [{first}, {{name: b, fixed_schedule: true}}]")
    assert [phase.fixed_schedule for phase in plan.phases] == [False, True]


def test_conversations_end_a_phase_with_all_of_their_turns(plan_of):
    """--num-sessions counts sessions, --request-count requests."""
    phase = plan_of(None, {}, num_sessions=7, conversation_turn_mean=3).phases[0]
    assert (phase.session_count, phase.request_count) == (7, None)
    plan = plan_of(None, {}, num_sessions=7, request_count=9, num_dataset_entries=5)
    assert (plan.phases[0].session_count, plan.phases[0].request_count) == (7, 9)
    assert plan.dataset.entries == 5
    assert plan_of(None, {}, num_sessions=7).dataset.entries == 7
    warmup, _ = plan_of(None, {}, num_warmup_sessions=2).phases
    assert (warmup.session_count, warmup.request_count) == (2, None)
    text = "phases: [{name: a, concurrency: 1, sessions: 4}]"
    assert plan_of(text).phases[0].session_count == 4


def test_sessions_take_a_file_again_and_again(trace):
    """They leave out nothing of it, whatever the order of sampling."""
    plan = trace(input_file="text.jsonl", num_sessions=1, dataset_sampling_strategy="shuffle")
    assert (plan.dataset.entries, plan.phases[0].session_count) == (0, 1)


def test_a_warm_up_takes_the_ramps_of_the_run_but_not_its_cancellations(plan_of):
    warmup, profiling = plan_of(
        None, {}, request_rate=20, request_rate_ramp_duration="4s", ramp_strategy="poisson",
        warmup_duration=9, request_cancellation_rate=25, request_cancellation_delay="500ms",
    ).phases  # fmt: skip
    assert (warmup.request_rate_ramp_s, warmup.ramp) == (4.0, "poisson")
    assert (profiling.request_rate_ramp_s, profiling.ramp) == (4.0, "poisson")
    assert (warmup.cancellation_rate, profiling.cancellation_rate) == (0.0, 0.25)
    assert profiling.cancellation_delay_s == 0.5


POINTS = [{"time_s": 0, "qps": 10}, {"time_s": 10, "qps": 40}, {"time_s": 20, "qps": 20}]


@pytest.mark.parametrize("whole", [POINTS, {"points": POINTS}])
def test_a_series_of_rates_is_read_from_a_file(plan_of, tmp_path, whole):
    """The highest is the plan's rate."""
    (tmp_path / "rates.json").write_text(json.dumps(whole))
    phase = plan_of(None, {}, request_rate_series="rates.json").phases[0]
    assert phase.rate_series == ((0.0, 10.0), (10.0, 40.0), (20.0, 20.0))
    assert (phase.request_rate, phase.arrival) == (40.0, "poisson")


def test_a_series_of_rates_can_stand_in_the_configuration(plan_of):
    text = "load:\n  request_rate_series: [{time_s: 0, qps: 1}, {time_s: 5, qps: 3}]\n"
    assert plan_of(text).phases[0].rate_series == ((0.0, 1.0), (5.0, 3.0))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[", "it is no JSON"),
        ("[", "expected a JSON list of"),
        ('{"time_s": 0, "qps": 5}', "got a single object with the keys qps, time_s; expected a"),
        ("{}", "got a single object with the keys (none)"),
        ("7", "got 7; expected a JSON list of"),
        ('[{"time_s": 0}]', "missing required field `qps`"),
        ('[{"time_s": 0, "qps": 1}]', "got 1 points; expected two or more"),
        ('[{"time_s": 5, "qps": 1}, {"time_s": 5, "qps": 2}]', "expected a later one"),
        ('[{"time_s": 0, "qps": 0}, {"time_s": 5, "qps": 2}]', "points[0] has time_s 0, qps 0"),
    ],
)
def test_a_wrong_series_is_told(plan_of, tmp_path, content, told):
    (tmp_path / "rates.json").write_text(content)
    with pytest.raises(ConfigError) as caught:
        plan_of(None, {}, request_rate_series="rates.json")
    assert told in str(caught.value)
