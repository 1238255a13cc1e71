"""The section `track`: who is told, what is refused before anything starts."""

import pytest

from steelyard.domain.bench.plan import TrackPlan
from steelyard.kernel.errors import ConfigError

FILE = """
track:
  backends: [jsonl, second]
  project: research
  tags: {team: infra}
  options:
    jsonl: {directory: "${MIRROR:-mirror}"}
    second: {plugin: jsonl, directory: other}
  routing: [{to: [], name: "live/*"}]
  artifacts: ["*.json"]
"""


def test_a_run_is_not_tracked_unless_someone_says_so(plan_of):
    assert plan_of(None, {}).track is None


@pytest.mark.parametrize("word", ["jsonl,local", ["jsonl", "local"], ["jsonl,local"]])
def test_names_come_with_commas_or_repeated(plan_of, word):
    assert plan_of(None, {}, track=word).track == TrackPlan(backends=("jsonl", "local"))


def test_a_file_says_more_and_references_stay_references(plan_of):
    """No secret gets into a plan: what a variable holds is asked for when a tracker opens."""
    track = plan_of(FILE, {"MIRROR": "secret place"}).track
    assert track == TrackPlan(
        backends=("jsonl", "second"),
        options={
            "jsonl": {"directory": "${MIRROR:-mirror}"},
            "second": {"plugin": "jsonl", "directory": "other"},
        },
        project="research",
        tags={"team": "infra"},
        routing=({"to": [], "name": "live/*"},),
        artifacts=("*.json",),
    )


def test_a_flag_chooses_among_the_files_options(plan_of):
    text = "track: {options: {jsonl: {directory: a}}}"
    assert plan_of(text).track is None
    track = plan_of(text, track="jsonl").track
    assert track == TrackPlan(backends=("jsonl",), options={"jsonl": {"directory": "a"}})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{backends: [jsnl]}", "Did you mean 'jsonl'"),
        ("{backends: [jsonl, jsonl]}", "names jsonl twice"),
        ("{backends: [jsonl], options: {jsonl: {dir: x}}}", "unknown option"),
        ("{backends: [jsonl], options: {jsonl: {api_key: abc}}}", "a secret is not written here"),
        ("{backends: [otel], options: {otel: {headers: {api-key: abc}}}}", "otel.headers.api-key"),
        ("{backends: [jsonl], options: {jsonl: {directory: http://u:p@h}}}", "a secret is not"),
        ("{backends: [jsonl], options: {jsonl: {directory: '${NO_SUCH}'}}}", "NO_SUCH is not set"),
        ("{backends: [jsonl], options: {other: {}}}", "none of the run's backends"),
        ("{backends: [jsonl], routing: [{too: x}]}", "no routing rule"),
        ("{backends: ['a/b'], options: {'a/b': {plugin: jsonl}}}", "directory's name"),
    ],
)
def test_a_mistake_is_told_before_the_load_starts(plan_of, text, says):
    with pytest.raises(ConfigError, match=r"run.yaml has 1 mistake") as told:
        plan_of(f"track: {text}")
    assert says in str(told.value)


def test_the_trackers_own_variables_are_no_misspelled_ones(plan_of):
    environ = {"STEELYARD_TRACK_MIRRORS": "thread", "STEELYARD_TRACK_BACKENDS": "jsonl"}
    assert plan_of(None, environ).track is None
