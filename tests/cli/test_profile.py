"""`steelyard profile`: a person's words become the plan that is run, secrets aside."""

import os

import msgspec
import pytest

AIPERF = (
    "profile --model qwen3-0.6b --url localhost:8000 --endpoint-type chat --endpoint /v1/chat "
    "--streaming --concurrency 10 --prefill-concurrency 4 --request-count 100 "
    "--synthetic-input-tokens-mean 100 --synthetic-input-tokens-stddev 5 --output-tokens-mean 200 "
    "--output-tokens-stddev 0 --extra-inputs min_tokens:200 ignore_eos:true --random-seed 1234 "
    "--num-dataset-entries 50 --warmup-request-count 5 --warmup-concurrency 2 "
    "--goodput request_latency:250 --header X-Team:bench --artifact-dir out/run1 "
    "--export-level records --request-timeout-seconds 600 --connection-reuse-strategy never "
    "--use-server-token-count --ui simple --workers-max 2 --conversation-num 60 -v"
)


def test_a_long_aiperf_command_line_runs_as_it_is(steelyard, runs, tmp_path):
    code, _, err = steelyard(*AIPERF.split())
    assert (code, err) == (0, "")
    ((plan, key),) = runs
    assert key is None
    assert plan.models == ("qwen3-0.6b",)
    assert plan.endpoint.urls == ("http://localhost:8000",)
    assert plan.endpoint.extra_inputs == {"min_tokens": 200, "ignore_eos": True}
    assert plan.endpoint.headers == (("X-Team", "bench"),)
    assert (plan.endpoint.path, plan.endpoint.streaming) == ("/v1/chat", True)
    assert [(p.kind, p.concurrency, p.request_count) for p in plan.phases] == [
        ("warmup", 2, 5),
        ("profiling", 10, 100),
    ]
    assert (plan.dataset.isl_mean, plan.dataset.isl_stddev, plan.dataset.osl_mean) == (100, 5, 200)
    assert (plan.dataset.entries, plan.seed, plan.workers) == (50, 1234, 2)
    assert plan.phases[1].session_count == 60
    assert plan.goodput == {"request_latency": 250}
    assert plan.artifact_dir == str(tmp_path / "out/run1")
    assert (plan.export_level, plan.log_level) == ("records", "DEBUG")


@pytest.mark.parametrize(
    "flags",
    [
        "--request-rate 5 --request-rate-mode poisson --benchmark-duration 3 --num-requests 9",
        "--request-rate 5 --benchmark-duration 30 --benchmark-grace-period inf",
        "--request-rate 5 --arrival-pattern gamma --vllm-burstiness 0.5 --num-requests 10",
        "--arrival-pattern concurrency_burst --concurrency 8 --num-prompts 8",
        "-m a b -u h:1 h:2 --isl 10 --osl 10 --num-sessions 4 --no-streaming",
        "--warmup-duration 5 --warmup-request-rate 3 --warmup-arrival-pattern constant",
        "--warmup-duration 5 --warmup-grace-period 2 --request-rate 9",
        "-vv --ui-type none --profile-export-level raw --output-artifact-dir x --max-workers 1",
    ],
)
def test_other_familiar_spellings_run_too(steelyard, runs, flags):
    code, _, err = steelyard("profile", *flags.split())
    assert (code, err) == (0, "")
    assert len(runs) == 1


def test_misspelt_and_unsupported_flags_are_all_named_at_once(steelyard, runs):
    code, _, err = steelyard("profile", "--concurency", "4", "--image-format", "png", "--isll=3")
    assert code == 2
    assert "Unknown flag --concurency. Did you mean '--concurrency'?" in err
    assert "--image-format is not supported yet: image input" in err
    assert "Unknown flag --isll. Did you mean '--isl'?" in err
    assert runs == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--concurrency", "--concurrency needs a value"),
        (
            "--request-count 100000000000000000000",
            "--request-count: got '100000000000000000000'; expected at most 4611686018427387904",
        ),
        ("--workers 100000000000000000000", "expected at most 1024"),
        ("--request-rate nan", "--request-rate: got 'nan'; expected a finite number. See"),
        ("--isl inf", "--isl: got 'inf'; expected a finite number. See"),
        ("--concurrency 0", "--concurrency: got '0'; expected 1 or more"),
        ("--concurrency 1,2", "sweeps"),
        ("stray", "stray"),
        ("--run-type moon", "expected 'process', 'inline'"),
        ("--config none.yaml", "config init none.yaml"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_no_traceback(steelyard, runs, words, told):
    code, out, err = steelyard("profile", *words.split())
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err
    assert runs == []


def test_of_a_repeated_flag_the_last_one_counts(steelyard, runs):
    """As in other tools; a flag that takes a list collects."""
    words = "--concurrency 1 --streaming --concurrency 2 --no-streaming -m a -m b"
    assert steelyard("profile", *words.split())[0] == 0
    ((plan, _),) = runs
    assert plan.phases[0].concurrency == 2
    assert plan.endpoint.streaming is False
    assert plan.models == ("a", "b")


def test_a_flag_like_no_other_gets_no_suggestion(steelyard, runs):
    code, _, err = steelyard("profile", "--bogus", "1")
    assert (code, err) == (2, "error: Unknown flag --bogus. See: steelyard profile --help\n")


@pytest.mark.parametrize("words", [["--exporters", "pdf"], ["--concurrency", "x"]])
def test_one_mistake_says_once_where_to_look(steelyard, runs, words):
    code, _, err = steelyard("profile", "-m", "m", *words)
    assert code == 2
    assert err.count("See: steelyard") == 1


def test_mistakes_in_a_file_end_with_2_and_a_line_each(steelyard, tmp_path):
    (tmp_path / "a.yaml").write_text("load:\n  concurency: 4\n  duration: x\ntypo: 1\n")
    code, _, err = steelyard("profile", "-f", "a.yaml")
    assert code == 2
    assert [line.split(": ")[0].strip() for line in err.splitlines()[1:]] == [
        "a.yaml:2:3",
        "a.yaml:3:13",
        "a.yaml:4:1",
    ]


@pytest.mark.parametrize(
    ("words", "variable"),
    [
        (["--api-key", "s3cret"], "STEELYARD_API_KEY"),
        (["--api-key=s3cret"], "STEELYARD_API_KEY"),
        (["-H", "Authorization: Basic s3cret"], "STEELYARD_SECRET_AUTHORIZATION"),
        (["-H", "X-Api-Key:s3cret"], "STEELYARD_SECRET_X_API_KEY"),
        (["-H", '{"Cookie":"s3cret"}'], "STEELYARD_SECRET_COOKIE"),
    ],
)
def test_a_secret_reaches_the_run_and_stands_in_no_plan(
    steelyard, runs, monkeypatch, words, variable
):
    monkeypatch.delenv(variable, raising=False)
    code, out, err = steelyard("profile", *words)
    assert code == 0
    ((plan, _),) = runs
    assert "s3cret" not in str(msgspec.to_builtins(plan)) + out + err
    assert "s3cret" in os.environ.pop(variable)


def test_a_bearer_header_is_an_api_key(steelyard, runs, monkeypatch):
    monkeypatch.delenv("STEELYARD_API_KEY", raising=False)
    assert steelyard("profile", "-H", "Authorization: Bearer s3cret")[0] == 0
    ((plan, key),) = runs
    assert key == os.environ.pop("STEELYARD_API_KEY") == "s3cret"
    assert plan.endpoint.headers == ()
    assert plan.endpoint.api_key_env == "STEELYARD_API_KEY"
    assert "s3cret" not in plan.command_line


def test_json_puts_the_summary_and_nothing_else_on_standard_output(steelyard, runs):
    code, out, _ = steelyard("profile", "--json")
    assert (code, out) == (0, '{"schema_version":"1.0"}\n')
    assert runs[0][0].options["json"] is True


def test_the_runs_exit_code_is_the_commands(steelyard, runs, outcome):
    outcome.exit_code = 1
    assert steelyard("profile")[0] == 1


def test_help_shows_the_flags_under_their_headings(steelyard):
    code, out, _ = steelyard("profile", "--help")
    assert code == 0
    for word in ("Endpoint", "Load Generator", "Warmup", "--concurrency", "--goodput", "--json"):
        assert word in out


@pytest.mark.parametrize(
    "shown",
    [
        "--concurrency INT",
        "--request-rate FLOAT",
        "--ca-file PATH",
        "--url-strategy CHOICE",
        "--config -f PATH",
        "--plugin-dir DIR...",
        "--streaming --no-streaming ",
    ],
)
def test_help_says_what_a_flag_takes(steelyard, monkeypatch, shown):
    monkeypatch.setenv("COLUMNS", "120")
    assert shown in steelyard("profile", "--help")[1]


@pytest.mark.parametrize(
    ("name", "before", "after"), [("csv", 0, 2), ("mine", 1, 3), ("csv", 130, 130)]
)
def test_outputs_that_were_not_written_are_an_error(steelyard, runs, outcome, name, before, after):
    """2 for one of ours, 3 for a stranger's; a person's Ctrl-C stays what it is."""
    outcome.failures, outcome.exit_code = {name: "Can't write x: disk full."}, before
    code, _, err = steelyard("profile")
    assert code == after
    assert err.splitlines()[0] == f"error: not written: {name}: Can't write x: disk full."
