"""A service that can't begin yet: it says why at once, and hears Ctrl-C."""

import asyncio
import os
import signal

import pytest
from fleet_service import FleetService, command
from nosy import without_powers, words_that_look

from steelyard.app.fleet import office
from steelyard.app.fleet.coordinator import Coordinator
from steelyard.app.fleet.settings import FleetSettings
from steelyard.kernel.errors import EXIT_UNREACHABLE
from steelyard.runtime.fleet.ports import LostLeadershipError
from steelyard.web.server import ServeSettings, serve

pytestmark = pytest.mark.network


def settings_of(tmp_path, **more):
    return FleetSettings(
        ledger=str(tmp_path / "fleet.sqlite"), directory=str(tmp_path / "fleet"), engines={}, **more
    )


async def said_within(caplog, text, within_s=30.0):
    async with asyncio.timeout(within_s):
        while text not in caplog.text:
            await asyncio.sleep(0.02)


async def test_who_leads_is_said_at_once_and_ctrl_c_is_heard_while_it_is_waited_for(
    tmp_path, caplog
):
    async with Coordinator(settings_of(tmp_path, leader_ttl_s=60.0)):
        second = ServeSettings(fleet=settings_of(tmp_path, leader_ttl_s=60.0), port=0)
        serving = asyncio.create_task(serve(second, lambda _: None, lambda _: None))
        await said_within(caplog, "Another coordinator leads the fleet of")
        assert f"process {os.getpid()} of this host); this one waits 90 s for its" in caplog.text
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(serving, 45)
    assert caplog.text.count("Another coordinator leads") == 1


async def test_one_that_gives_up_names_who_leads(tmp_path, monkeypatch):
    monkeypatch.setattr(office, "PATIENCE", 0.01)
    first = settings_of(tmp_path, leader_ttl_s=60.0, name="box-1")
    async with Coordinator(first):
        second = ServeSettings(fleet=settings_of(tmp_path, leader_ttl_s=60.0), port=0)
        with pytest.raises(LostLeadershipError, match=f"box-1, process {os.getpid()}") as caught:
            await serve(second, lambda _: None, lambda _: None)
    assert caught.value.exit_code == EXIT_UNREACHABLE


async def test_one_that_stands_by_says_for_whom(tmp_path, caplog):
    async with Coordinator(settings_of(tmp_path, leader_ttl_s=60.0, name="box-1")):
        second = Coordinator(settings_of(tmp_path, leader_ttl_s=60.0, stand_by=True))
        await second.start()
        await said_within(caplog, "box-1")
        assert "this one stands by for its end" in caplog.text
        await second.stop()


def test_attempts_read_nothing_of_the_coordinator_that_they_run_below(tmp_path):
    """What it knows, such as its ledger's password, stands in no environment that they can read."""
    how = {"environ": {"PGPASSWORD": "what-is-secret"}, "within": without_powers()}
    served = FleetService(tmp_path, "--slots", "1", "--drain-s", "0", **how)
    with served as service, service.client() as client:
        coordinator = service.process.pid
        (task,) = client.submit(command(*words_that_look(coordinator)))
        told = client.wait(task["task_id"])["outcome"]["result"]["stdout"]
    assert told.count("at ") == 3  # the attempt's own process, its worker, the coordinator
    assert told.endswith(f"at {coordinator}\nhidden {coordinator}\nmemory hidden {coordinator}\n")
    assert "PATH=" in told
    assert "what-is-secret" not in told
