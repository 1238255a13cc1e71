"""Disks that fill up under a fleet: under its ledger, and under what its attempts write."""

import json
import subprocess
import time

import pytest
from chaos_fleet import judge_tokens, report, said, sqlite_rows, task
from fleet_service import STEELYARD, FleetService, wait_for
from local_rig import LocalRig
from small_disk import small_disk

from steelyard.domain.fleet.model import Ending
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime.fleet.attempt_logs import log_path

pytestmark = [
    pytest.mark.acceptance, pytest.mark.network, pytest.mark.needs_root, pytest.mark.timeout(300)
]  # fmt: skip
FLAGS = ("--slots", "4", "--engine-option", "local.detect=false", "--rate", "1000")


def fill(client, place, acknowledged):
    """Submit until that fails; return the error."""
    for batch in range(1_000):
        names = [f"t{batch}-{n}" for n in range(4)]
        given = [{**task(name, 0, place), "depends_on": ["held"]} for name in names]
        for each in given:
            each["payload"]["shell"] += f"\n# {'y' * 4_000}"
        try:
            client.submit(given)
        except SteelyardError as error:
            return error
        acknowledged += names
    raise AssertionError("the disk is not full")


def submit_by_command(service):
    words = [*STEELYARD, "fleet", "submit", "--dir", str(service.directory), "--", "echo", "more"]
    return subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)


def submit_by_http(service):
    body = json.dumps({"tasks": [{"kind": "command", "payload": {"argv": ["echo", "more"]}}]})
    status, headers, data = service.request(
        "POST", "/v1/tasks", key=service.key, body=body,
        headers={"Content-Type": "application/json"},
    )  # fmt: skip
    return status, headers["content-type"], json.loads(data)


def test_a_full_ledger_is_told_of_and_goes_on_when_there_is_space(tmp_path, capsys):
    """What was acknowledged is done in the end, also what was begun before it was full."""
    with small_disk(tmp_path / "disk", 8_000) as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(6_500_000))
        ledger = disk / "fleet.sqlite"
        service = FleetService(tmp_path, "--ledger", str(ledger), *FLAGS)
        try:
            acknowledged = ["held"]
            with service.client() as client:
                until_told = f"$(until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo 0)"
                client.submit([task("held", until_told, tmp_path)])
                wait_for(lambda: said(tmp_path / "begun")["held"], what="an attempt")
                error = fill(client, tmp_path, acknowledged)
                assert "disk is full" in str(error)
                for _ in range(2):  # as it fails, and while it is tried again
                    status, kind, problem = submit_by_http(service)
                    assert (status, kind) == (507, "application/problem+json"), problem
                    assert "disk is full" in problem["detail"]
                    assert "Free some space" in problem["next_step"]
                    time.sleep(1)
                done = submit_by_command(service)
                assert done.returncode == 4
                assert "disk is full. Free some space" in done.stderr
                assert "Traceback" not in done.stderr
                (tmp_path / "go").touch()
                time.sleep(1)
                assert service.process.poll() is None
                filler.unlink()
                begun_s = time.monotonic()
                ended = client.wait(*acknowledged, timeout_s=150)
                back_s = time.monotonic() - begun_s
            assert {each["state"] for each in ended} == {"completed"}
            assert service.stop() == 0
        finally:
            service.kill()
        judge_tokens(sqlite_rows(ledger), acknowledged, tmp_path)
        assert "Traceback" not in service.log()
        report(
            capsys, "full disk", acknowledged=len(acknowledged), status=status,
            **{"all done after": f"{back_s:.1f} s with space"},
        )  # fmt: skip


def test_a_coordinator_that_finds_its_disk_full_says_so_and_the_next_one_starts(tmp_path):
    with small_disk(tmp_path / "disk", 400) as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(380_000))
        with pytest.raises(RuntimeError, match="Free some space") as caught:
            FleetService(tmp_path, "--ledger", str(disk / "fleet.sqlite"), *FLAGS)
        assert "Traceback" not in str(caught.value)
        filler.unlink()
        service = FleetService(tmp_path, "--ledger", str(disk / "fleet.sqlite"), *FLAGS)
        assert service.stop() == 0


async def test_an_attempt_whose_output_finds_no_space_fails_and_says_so(tmp_path):
    """Its log, its own files and its directory; the worker takes the next one."""
    with small_disk(tmp_path / "disk", 600) as disk:
        async with LocalRig(disk) as rig:
            lease = await rig.submit("head -c 2000000 /dev/zero; echo done >&2; exit 0")
            outcome = await rig.outcome(lease)
            assert outcome.ending is Ending.FAILED
            assert outcome.error == "its stdout could not be kept: no space left on device"
            kept = log_path(rig.attempt(lease), "stdout")
            assert kept.stat().st_size > 300_000
            own = await rig.run("echo text > file")
            assert own.ending is Ending.FAILED
            assert "space" in own.error.lower()
            kept.unlink()
            assert (await rig.run("echo again")).ending is Ending.SUCCEEDED
            assert rig.said("worker_died") == []
