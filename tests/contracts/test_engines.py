"""Our own engines keep the contract that strangers must keep."""

import os
import signal

import pytest

from steelyard.runtime.plugin_host import PluginHost
from steelyard.testing.contracts.engine import EngineContract, EngineSubject

HOST = PluginHost.standard()


def kill_worker(engine):
    (pid,) = engine.pids.values()
    os.kill(pid, signal.SIGKILL)


class TestLocal(EngineContract):
    @pytest.fixture
    def subject(self):
        def make(directory):
            return HOST.create(
                "engine", "local", directory=str(directory), slots=4, heartbeat_s=0.3, detect=False
            )

        return EngineSubject(HOST.load("engine", "local"), make, kill_worker, slack_s=30)
