"""What file, environment and flags come to, and how mistakes in them are told."""

import pytest

from steelyard.kernel.errors import EXIT_USAGE, ConfigError, UsageError

THREE_MISTAKES = """\
models: [m]
endpoint:
  type: chatt
  urls: ["http://127.0.0.1:8000"]
load:
  concurency: 4
  request_count: many
"""


def test_three_mistakes_in_a_file_are_three_lines_with_file_line_and_column(plan_of):
    with pytest.raises(ConfigError) as caught:
        plan_of(THREE_MISTAKES)
    problems = caught.value.problems
    assert [p.split(": ")[0] for p in problems] == ["run.yaml:3:9", "run.yaml:6:3", "run.yaml:7:18"]
    assert "Did you mean 'chat'?" in problems[0]
    assert "Did you mean 'concurrency'?" in problems[1]
    assert problems[2].endswith("load.request_count: got 'many'; expected a whole number")
    assert caught.value.exit_code == EXIT_USAGE
    assert "3 mistakes" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environ", "flags", "concurrency"),
    [
        (None, {}, {}, 1),
        ("load: {concurrency: 2}", {}, {}, 2),
        ("load: {concurrency: 2}", {"STEELYARD_CONCURRENCY": "3"}, {}, 3),
        ("load: {concurrency: 2}", {"STEELYARD_CONCURRENCY": "3"}, {"concurrency": "4"}, 4),
        (None, {"STEELYARD_CONCURRENCY": "3"}, {"concurrency": 4}, 4),
    ],
)
def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(
    plan_of, text, environ, flags, concurrency
):
    assert plan_of(text, environ, **flags).phases[0].concurrency == concurrency


def test_a_mistake_is_told_where_it_was_made_not_where_it_was_overridden(plan_of):
    with pytest.raises(ConfigError, match=r"STEELYARD_ISL: got '-5'; expected 0 or more"):
        plan_of("input: {isl_mean: 5}", {"STEELYARD_ISL": "-5"})
    assert plan_of("input: {isl_mean: -5}", {}, isl="7").dataset.isl_mean == 7


def test_a_nearly_right_variable_is_refused_and_a_strange_one_is_not(plan_of):
    with pytest.raises(ConfigError, match="Did you mean 'STEELYARD_CONCURRENCY'"):
        plan_of(None, {"STEELYARD_CONCURENCY": "3"})
    assert plan_of(None, {"STEELYARD_SITE_NAME": "lab"}).phases[0].concurrency == 1


def test_a_misspelt_keyword_of_the_python_call_is_named(plan_of):
    with pytest.raises(UsageError, match="Did you mean 'concurrency'"):
        plan_of(None, {}, concurency=3)
    with pytest.raises(UsageError, match="--image-format is not supported yet: image input"):
        plan_of(None, {}, image_format="png")


def test_without_a_url_the_embedded_server_is_measured(plan_of):
    plan = plan_of()
    assert plan.endpoint.urls == ()
    assert plan.options["embedded_mock"] is True
    assert plan.models
    assert "embedded_mock" not in plan_of(None, {}, url="h:1", model="m").options


def test_a_section_with_all_its_keys_commented_out_says_nothing(plan_of):
    assert plan_of("endpoint:\n  # type: chat\nload:\n").phases[0].concurrency == 1


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one(plan_of):
    with pytest.raises(ConfigError, match=r"run.yaml:1:1: concurrency: .*'load.concurrency'"):
        plan_of("concurrency: 4")


def test_unset_warm_up_fields_take_the_load_of_the_run(plan_of):
    plan = plan_of(None, {}, concurrency=8, warmup_request_count=5)
    warmup, profiling = plan.phases
    assert (warmup.kind, warmup.concurrency, warmup.request_count) == ("warmup", 8, 5)
    assert (profiling.kind, profiling.request_count) == ("profiling", 16)


PHASES = """\
phases:
  - {name: warmup, concurrency: 2, request_count: 4}
  - {name: low, request_rate: 5, duration: 30s, grace_period: inf}
"""


def test_any_number_of_named_phases_keep_their_order(plan_of):
    more = "".join(f"  - {{name: p{n}, concurrency: {n}, request_count: 1}}\n" for n in (3, 1, 2))
    plan = plan_of(PHASES + more)
    assert [p.name for p in plan.phases] == ["warmup", "low", "p3", "p1", "p2"]
    assert [p.kind for p in plan.phases] == ["warmup"] + ["profiling"] * 4
    assert (plan.phases[1].duration_s, plan.phases[1].grace_s) == (30.0, 86_400.0)


def test_a_load_flag_changes_the_one_profiling_phase_of_a_file(plan_of):
    plan = plan_of(PHASES, {}, request_rate="9", warmup_request_count=1)
    assert plan.phases[1].request_rate == 9
    assert plan.phases[0].request_count == 1


def test_a_load_flag_that_could_mean_several_phases_is_refused(plan_of):
    with pytest.raises(ConfigError, match="--concurrency: the file has 2 profiling phases"):
        plan_of(PHASES + "  - {name: high, concurrency: 9, request_count: 1}\n", concurrency=3)


def test_mistakes_in_phases_are_told_with_their_index(plan_of):
    text = PHASES + "  - {name: low, concurrency: 0, request_count: 1}\n  - {concurrency: 1}\n"
    with pytest.raises(ConfigError) as caught:
        plan_of(text)
    told = "\n".join(caught.value.problems)
    assert "run.yaml:4:30: phases[2].concurrency: got 0; expected 1 or more" in told
    assert "run.yaml:5:5: phases[3].name: is required" in told


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"prefill_concurrency": 2}, "needs streaming"),
        ({"arrival_pattern": "poisson"}, "needs a request rate"),
        ({"arrival_pattern": "concurrency_burst"}, "needs a concurrency"),
        ({"request_rate": 5, "arrival_smoothness": 2, "arrival_pattern": "constant"}, "gamma"),
        ({"benchmark_grace_period": 5}, "follows a duration"),
        ({"warmup_concurrency": 5}, "no warm-up without"),
        ({"osl_stddev": 5}, "needs a mean"),
        ({"url": "http://u:p@h"}, "no user or password"),
        ({"url": "ftp://h", "model": "m"}, "expected http://"),
        ({"url": "h:1"}, "no model is named"),
        ({"input_file": "nowhere.jsonl"}, "there is no"),
        ({"header": {"Bad Name": "x"}}, "name of an HTTP header"),
        ({"header": {"X-A": "a\nb"}}, "one line"),
        ({"header": {"X-A": "${UNSET}"}}, "UNSET is not set"),
        ({"api_key_env": "UNSET"}, "UNSET is not set"),
        ({"goodput": "time_to_first_tokn:5"}, "Did you mean 'time_to_first_token'"),
        ({"exporters": "json,pdf"}, "got 'pdf'"),
        ({"concurrency": "1,2,4"}, "sweeps"),
        ({"request_rate": "nan"}, "finite"),
        ({"concurrency": True}, "a number"),
        ({"k8s_memory": "5x"}, "a quantity of Kubernetes, such as 500m or 2Gi"),
        ({"k8s_storage": "much"}, "a quantity such as 2Gi, or nothing"),
        ({"k8s_namespace": "My Space"}, "a name of lower-case letters"),
        ({"k8s_node_selector": "pool=a b"}, "a label's value"),
        ({"k8s_label": "-x=1"}, "a label's key"),
        ({"k8s_image": ""}, "the name of an image"),
        ({"k8s_ttl": -1}, "0 or more"),
        ({"run_type": "moon"}, "'process', 'inline'"),
        ({"ui": "dashboard"}, "simple or none"),
        ({"extra_inputs": '{"a": NaN}'}, "finite"),
        ({"connection_reuse_strategy": "pooledd"}, "Did you mean 'pooled'"),
        ({"benchmark_duration": "5 parsecs"}, "ns, us, ms, s, m or h"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(plan_of, flags, told):
    with pytest.raises(ConfigError, match=told):
        plan_of(None, {}, **flags)


def test_a_secret_header_in_a_file_is_refused_and_its_variable_is_not(plan_of):
    with pytest.raises(ConfigError, match=r"run.yaml:1:35.*write `\$\{NAME\}`") as caught:
        plan_of("endpoint: {headers: {X-Api-Key: s3cret}}".replace("{X-", "{  X-"))
    assert "s3cret" not in str(caught.value)
    plan = plan_of("endpoint: {headers: {X-Api-Key: '${MY_KEY}'}}", {"MY_KEY": "s3cret"})
    assert plan.endpoint.headers == (("X-Api-Key", "${MY_KEY}"),)
    assert "s3cret" not in repr(plan)


def test_a_plan_learns_only_that_there_is_an_api_key(plan_of):
    plan = plan_of(None, {"STEELYARD_API_KEY": "s3cret"})
    assert plan.endpoint.api_key_env == "STEELYARD_API_KEY"
    assert "s3cret" not in repr(plan)


def test_an_input_file_is_found_beside_its_configuration_or_where_the_flag_was_typed(
    plan_of, tmp_path
):
    (tmp_path / "p.jsonl").write_text("")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "p.jsonl").write_text("")
    assert plan_of("input: {file: p.jsonl}").dataset.path == str(tmp_path / "p.jsonl")
    plan = plan_of("input: {file: nowhere}", {}, input_file="deep/p.jsonl")
    assert plan.dataset.path == str(tmp_path / "deep" / "p.jsonl")
    assert (plan.dataset.type, plan.dataset.entries) == ("single_turn", 0)


def test_a_plugins_own_schema_is_enforced_at_the_line_of_its_config(plan_of, host):
    class Hook:
        """A hook with one option."""

    schema = {"level": {"type": "integer", "required": True}}
    with host.replaced("phase_hook", "leveller", Hook, config_schema=schema):
        text = "plugins:\n  phase_hooks:\n    - name: leveller\n      config: {level: high}\n"
        with pytest.raises(
            ConfigError, match=r"run.yaml:4:23: plugins.phase_hooks\[0\].config.lev"
        ):
            plan_of(text)
        plan = plan_of(text.replace("high", "3"))
    assert plan.phase_hooks[0].config == {"level": 3}
