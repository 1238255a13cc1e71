"""What is asked of tasks that nobody has, or others have."""

import json

import pytest
from fleet_service import FleetService, command

from steelyard.runtime.fleet.attempt_logs import attempt_directory, log_path
from steelyard.web.tasks import OFFSET_MAX

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = FleetService(tmp_path_factory.mktemp("service"), "--no-local")
    yield service
    service.stop()


@pytest.mark.parametrize(
    ("offset", "status"),
    [(0, 200), (2, 200), (OFFSET_MAX, 200), (OFFSET_MAX + 1, 422), (2**63 - 1, 422)],
)
def test_no_place_in_a_log_is_the_services_failure(service, offset, status):
    """Far behind what a file can be, a file system refuses to look at all."""
    with service.client() as client:
        (task,) = client.submit(command("true", idempotency_key="one"))
    attempt = attempt_directory(service.directory, task["task_id"], 1, 1)
    attempt.mkdir(parents=True, exist_ok=True)
    log_path(attempt, "stdout").write_text("hello")
    path = f"/v1/tasks/{task['task_id']}/logs?attempt=1&offset={offset}"
    answered, _, body = service.request("GET", path, key=service.key)
    assert answered == status, body
    if status == 200:
        assert json.loads(body)["text"] == "hello"[offset:]


def test_a_task_of_another_project_is_depended_on_as_if_there_were_none(service):
    with service.client() as client:
        (secret,) = client.submit(command("true", project="secret"))
        name = secret["task_id"]
        with service.client(service.key_of("submitter", "ann", projects=["open"])) as ann:
            first, second, again, fine = ann.submit([
                command("true", depends_on=[name]),
                command("true", depends_on=["nobody"]),
                # Refused, as its id is taken; what depends on it would wait for the other's.
                command("false", task_id=name),
                command("true"),
            ])  # fmt: skip
            assert first["refusal"] == f"it depends on {name}, which nobody submitted"
            assert second["refusal"] == "it depends on nobody, which nobody submitted"
            assert again["refusal"]
            assert not fine["refusal"]
            taken, after = ann.submit([
                command("false", task_id=name), command("true", depends_on=[name])
            ])  # fmt: skip
            assert taken["refusal"]
            assert after["refusal"] == first["refusal"]
            (own,) = ann.submit(command("true", depends_on=[fine["task_id"]]))
            assert not own["refusal"]
        (across,) = client.submit(command("true", project="open", depends_on=[name]))
        assert not across["refusal"], "who is for all projects may"


def test_a_recording_has_nothing_of_what_tasks_were_given(service):
    with service.client() as client:
        (task,) = client.submit(command("true", "what-is-secret", project="recorded"))
        recording = client.recording(project="recorded")
    specs = [job["spec"] for job in recording["jobs"]]
    assert [(spec["task_id"], spec.get("payload", {})) for spec in specs] == [(task["task_id"], {})]
    assert "what-is-secret" not in str(recording)


def test_a_recording_shows_no_workers_to_a_key_that_may_not_see_them(service):
    tasks = service.key_of("reader", "tasks", scopes=["tasks:read"])
    both = service.key_of("reader", "both", scopes=["tasks:read", "workers:read"])
    status, _, body = service.request("GET", "/v1/recording", key=tasks)
    assert (status, b"does not allow workers:read" in body) == (403, True)
    assert service.request("GET", "/v1/recording", key=both)[0] == 200
