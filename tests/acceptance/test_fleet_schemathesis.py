"""Requests made from the service's own document find no answer above 499."""

import contextlib
import itertools
import json
import sys
from collections import Counter

import pytest
import schemathesis
from fleet_service import FleetService
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error

pytestmark = [pytest.mark.acceptance, pytest.mark.network, pytest.mark.timeout(600)]
EXAMPLES = 12
seen: Counter[tuple[str, int]] = Counter()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = FleetService(
        tmp_path_factory.mktemp("fuzzed"), "--rate", "100000", "--slots", "2", "--drain-s", "0"
    )
    yield service
    service.stop()


def test_no_request_of_the_documents_shapes_meets_a_failure(service):
    status, _, body = service.request("GET", "/v1/openapi.json", key=service.key)
    assert status == 200
    schema = schemathesis.openapi.from_dict(json.loads(body))
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 18
    there = _there(service)
    for operation in operations:
        for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
            # Where nothing is taken there is nothing to get wrong.
            with contextlib.suppress(Unsatisfiable):
                _hold(service, operation, mode, there)
    _print_summary()
    assert {code for _, code in seen if code >= 500} == set()
    assert sum(seen.values()) >= 200
    assert {label for label, _ in seen} == {operation.label for operation in operations}


def _say(line):
    sys.stdout.write(f"{line}\n")


def _print_summary():
    """`pytest -s` shows how often each operation gave which answer."""
    by_label = {label: {} for label, _ in sorted(seen)}
    for (label, code), times in sorted(seen.items()):
        by_label[label][code] = times
    for label, codes in by_label.items():
        _say(f"{label:38} " + ", ".join(f"{code}: {times}" for code, times in codes.items()))
    failures = sum(times for (_, code), times in seen.items() if code >= 500)
    _say(f"{len(by_label)} operations, {sum(seen.values())} requests, {failures} answers of 5xx")


def _there(service):
    """Return ids that exist, so that requests go past the question whether they do."""
    with service.client() as client:
        (task,) = client.submit({"kind": "command", "payload": {"argv": ["sleep", "60"]}})
        key = client.create_key("to revoke", "reader")["key"]["key_id"]
        worker = client.workers()[0]["worker_id"]
    return {"task_id": task["task_id"], "key_id": key, "worker_id": worker}


def _hold(service, operation, mode, there):
    numbers = itertools.count()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def check(case):
        if next(numbers) % 2:
            case.path_parameters = {n: there[n] for n in case.path_parameters or {} if n in there}
        headers = {"Authorization": f"Bearer {service.key}"}
        answer = case.call(base_url=service.url, headers=headers, timeout=100)
        seen[operation.label, answer.status_code] += 1
        case.validate_response(answer, checks=(not_a_server_error,))

    check()
