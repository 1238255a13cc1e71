"""A served fleet watched from outside: traces, metrics, JSON logs and runs, by the command line."""

import json
import subprocess

import pytest
from acceptance_runs import mock_server
from fleet_service import STEELYARD, FleetService, command, wait_for
from otlp_traces import TraceCollector, attributes_of
from prometheus_client.parser import text_string_to_metric_families

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.timeout(300)]
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture(scope="module")
def collector():
    found = TraceCollector()
    yield found
    found.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("observed")


@pytest.fixture(scope="module")
def service(place, collector):
    flags = (
        "--slots", "2", "--drain-s", "0", "--log-format", "json", "--otel-url", collector.base,
        "--track", "runs",
    )  # fmt: skip
    with FleetService(place, *flags, environ={"MY_API_TOKEN": SECRET}) as service:
        yield service


def post(service, task, **headers):
    body = json.dumps({"tasks": [task]}).encode()
    status, _, answer = service.request(
        "POST", "/v1/tasks", key=service.key, body=body, headers=headers
    )
    return status, json.loads(answer)


def families(service):
    status, _, body = service.request("GET", "/metrics", key=service.key)
    assert status == 200
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def sample(found, family, name="", **labels):
    name = f"steelyard_fleet_{name or family}"
    values = [
        each.value
        for each in found[f"steelyard_fleet_{family}"].samples
        if each.name == name and each.labels == labels
    ]
    assert len(values) == 1, (name, labels)
    return values[0]


def test_a_pipelines_trace_leads_through_the_queue_into_the_program(service, client, collector):
    """By the header of a request, by a field that wins over it, and not by one that is none."""
    shell = {"kind": "command", "payload": {"shell": "echo $TRACEPARENT"}}
    _, header = post(service, shell, traceparent=f"00-{TRACE}-{SPAN}-01")
    other = f"00-{TRACE[::-1]}-{SPAN}-01"
    _, field = post(service, shell | {"traceparent": other}, traceparent=f"00-{TRACE}-{SPAN}-01")
    _, wrong = post(service, shell, traceparent="00-made-up")
    assert post(service, shell | {"traceparent": "00-made-up"})[0] == 422
    ids = [answer["items"][0]["task_id"] for answer in (header, field, wrong)]
    ended = client.wait(*ids)
    seen = [task["outcome"]["result"]["stdout"].strip() for task in ended]
    assert [line.split("-")[1] for line in seen[:2]] == [TRACE, TRACE[::-1]]
    spans = wait_for(lambda: of_task(collector, ids[0]), what="the trace")
    by_name = {span.name: span for span in spans}
    assert by_name["task command"].parent_span_id.hex() == SPAN
    attempt = by_name["attempt"]
    assert seen[0] == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert attributes_of(attempt)["steelyard.engine"] == "local"
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {span.trace_id.hex() for span in wait_for(lambda: of_task(collector, ids[2]))} != {TRACE}


def test_a_command_line_in_a_pipeline_says_which_trace_it_is_of(service, client):
    header = f"00-{TRACE}-{SPAN}-01"
    for variable, seen in ((header, TRACE), ("made-up", None)):
        done = service.run(
            "submit", "--kind", "callable", "math:sqrt", "4", environ={"TRACEPARENT": variable}
        )
        assert done.returncode == 0, done.stderr
        spec = client.wait(done.stdout.strip())["spec"]
        assert spec["traceparent"] == (header if seen else "")


def of_task(collector, task_id):
    spans = [s for s in collector.spans() if attributes_of(s)["steelyard.task.id"] == task_id]
    return spans if any(span.name.startswith("task") for span in spans) else []


def test_metrics_are_parsed_by_prometheus_own_parser_and_only_grow(service, client):
    before = families(service)
    tasks = client.submit([command("true"), command("true"), command("false")])
    client.wait(*(task["task_id"] for task in tasks))
    # Counted once the commit that their client may have seen is over.
    wait_for(lambda: all_ended(families(service)) >= all_ended(before) + 3, what="the count")
    after = families(service)
    assert succeeded(after) == succeeded(before) + 2
    assert sample(after, "attempts", "attempts_total", ending="failed") >= 1
    for name, family in before.items():
        assert family.documentation, name
        if family.type in {"counter", "histogram"}:
            grown = {(s.name, *sorted(s.labels.items())): s.value for s in after[name].samples}
            for each in family.samples:
                assert grown[each.name, *sorted(each.labels.items())] >= each.value, each
    for name in ("queue_wait", "attempt_duration", "scheduling_pass", "ledger_commit"):
        family = f"{name}_seconds"
        assert after[f"steelyard_fleet_{family}"].type == "histogram"
        count = sample(after, family, f"{family}_count")
        assert count == sample(after, family, f"{family}_bucket", le="+Inf")
        assert count >= sample(before, family, f"{family}_count") + (
            3 if "commit" not in name else 1
        )


def all_ended(found):
    endings = found["steelyard_fleet_attempts"].samples
    return sum(each.value for each in endings if each.name == "steelyard_fleet_attempts_total")


def succeeded(found):
    return sample(found, "attempts", "attempts_total", ending="succeeded")


def test_the_log_is_an_object_a_line_with_ids_and_without_secrets(service, client):
    (task,) = client.submit(
        command("sh", "-c", "exit 1", retries=1, backoff={"first_s": 0.01, "jitter": 0.0})
    )
    task_id = task["task_id"]
    client.wait(task_id)
    wait_for(lambda: f'task_failed: exit code 1", "task_id": "{task_id}"' in service.log())
    lines = [json.loads(line) for line in service.log().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    mine = [line for line in lines if line.get("task_id") == task_id]
    said = [(line["message"].partition(":")[0], line.get("attempt")) for line in mine]
    assert said == [
        ("task_created", None), ("task_assigned", 1), ("task_started", 1), ("attempt_ended", 1),
        ("task_assigned", 2), ("task_started", 2), ("attempt_ended", 2), ("task_failed", 2),
    ]  # fmt: skip
    assert {line.get("worker_id") for line in mine[1:-1]} == {client.workers()[0]["worker_id"]}
    log = service.log()
    assert service.key not in log
    assert SECRET not in log


def test_each_task_is_a_run_that_the_command_line_shows(service, client, place):
    """A benchmark's figures and files too, by the names that a tracked benchmark has."""
    with mock_server("--ttft-ms", "5") as url:
        flags = ["-m", "mock", "-u", url, "--request-count", "4", "--fail-on", ""]
        tasks = [
            {
                "kind": "benchmark",
                "name": "bench",
                "project": "speech",
                "payload": {"flags": flags},
            },
            command("sh", "-c", "echo out; exit 3", name="fails", project="speech"),
        ]
        bench, fails = client.submit(tasks)
        client.wait(bench["task_id"], fails["task_id"], timeout_s=120)
    runs = wait_for(lambda: _runs(place, 2), what="the runs")
    by_name = {run["name"]: run for run in runs}
    assert by_name["bench"]["status"] == "finished"
    assert by_name["fails"]["status"] == "failed"
    shown = track(place, "show", by_name["bench"]["run_id"], "--json")
    metrics = {name for name in shown["metrics"] if name.startswith("request_latency.")}
    assert "request_latency.avg" in metrics
    result = client.task(bench["task_id"])["outcome"]["result"]
    assert shown["tags"]["verdict"] == result["verdict"]
    names = {artifact["name"] for artifact in shown["artifacts"]}
    assert {"profile_export.json", "attempt-1/stdout.log", "result.json"} <= names
    shown = track(place, "show", by_name["fails"]["run_id"], "--json")
    assert shown["metrics"]["fleet/exit_code"]
    wait_for(lambda: sample(families(service), "runs", "runs_total", result="written") >= 2)


def _runs(place, number):
    found = track(place, "runs", "--project", "speech", "--json")
    found = found["runs"] if isinstance(found, dict) else found
    return found if len(found) == number else None


def track(place, *words):
    done = subprocess.run(
        [*STEELYARD, "track", *words, "--store", str(place / "runs")], capture_output=True,
        text=True, check=True, timeout=100,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_store_that_is_broken_delays_no_task(tmp_path):
    (tmp_path / "runs").write_text("a file, and no directory")
    flags = ("--slots", "2", "--drain-s", "0", "--track", "runs")
    with FleetService(tmp_path, *flags) as service:
        with service.client() as client:
            tasks = client.submit([command("true") for _ in range(5)])
            ended = client.wait(*(task["task_id"] for task in tasks), timeout_s=100)
            assert {task["state"] for task in ended} == {"completed"}
            wait_for(
                lambda: sample(families(service), "runs", "runs_total", result="unwritten") == 5
            )
        assert "has no run" in service.log()
