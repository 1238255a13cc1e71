"""One service in a process of its own, alone or at a broker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steelyard.domain.bench.messages import ConfigureRun
from steelyard.kernel.errors import UsageError
from steelyard.runtime.bootstrap import ServiceConfig, load_service_class
from steelyard.runtime.bus_messages import RegisterService, StartService, StopService
from steelyard.runtime.bus_zmq import CurveKeys, ZmqBroker

ZOO = Path(__file__).parent / "zoo"
RUN = (
    "from steelyard.runtime import bootstrap; from steelyard.runtime.bootstrap import *; "
    "from zoo_roles import *; "
    "bootstrap.TERM_LIMIT_S = 60; "  # a slow machine may need longer than a person would wait
)


def launch(code, **environ):
    return subprocess.Popen(
        [sys.executable, "-c", RUN + code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ZOO), **environ},
    )


def wait_for(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.acceptance
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_alone_starts_itself_and_ends_gracefully_on_a_signal(tmp_path, number):
    process = launch(
        "bootstrap_and_run_service(Idle, service_id='idle_1'); print('returned')",
        STEELYARD_ARTIFACT_DIR=str(tmp_path),
        STEELYARD_LOG_LEVEL="DEBUG",
    )
    wait_for((tmp_path / "logs/steelyard.log").exists)
    title = Path(f"/proc/{process.pid}/cmdline")
    wait_for(lambda: title.read_bytes().startswith(b"steelyard idle_1"))
    wait_for(lambda: ": is running" in (tmp_path / "logs/steelyard.log").read_text())
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "returned\n"), err
    assert (tmp_path / "idle_1.notes").read_text() == "stop\ncleanup\n"


@pytest.mark.acceptance
def test_a_service_alone_that_fails_raises_its_error():
    process = launch("bootstrap_and_run_service(FailsInit)", STEELYARD_ARTIFACT_DIR="")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "RuntimeError: no dataset here" in err


@pytest.mark.acceptance
@pytest.mark.network
async def test_a_service_joins_a_broker_given_by_the_environment(tmp_path):
    keys = CurveKeys.generate()
    broker = ZmqBroker("tcp://127.0.0.1:0", "ctl", "system_controller", keys=keys)
    registered = asyncio.get_running_loop().create_future()

    async def note(message):
        registered.set_result(message)

    broker.port.subscribe(RegisterService, note)
    words = (keys.server_public, keys.client_public, keys.client_secret)
    process = launch(
        "bootstrap_and_run_service(Idle)",
        STEELYARD_BROKER=broker.address,
        STEELYARD_BUS_KEYS=b" ".join(words).decode(),
        STEELYARD_ARTIFACT_DIR=str(tmp_path),
    )
    try:
        message = await asyncio.wait_for(registered, 60)
        assert (message.service_type, message.pid) == ("idle", process.pid)
        for step in (ConfigureRun({}), StartService(), StopService()):
            await broker.port.command(message.service_id, step, timeout_s=60)
        _, err = await asyncio.to_thread(process.communicate, None, 60)
        assert process.returncode == 0, err
    finally:
        process.kill()
        await broker.close()


def test_a_class_that_is_no_service_is_refused_by_name():
    assert load_service_class("steelyard.runtime.service:Service").service_type == "service"
    for target in ("steelyard.runtime.service:Peer", "steelyard.runtime.service:Nothing", "json:"):
        with pytest.raises(UsageError, match=f"'{target}' is not a service"):
            load_service_class(target)


def test_keys_that_are_not_three_words_are_refused_without_showing_them():
    with pytest.raises(UsageError, match="got '2 words'; expected three") as caught:
        ServiceConfig(keys="secret1 secret2").curve_keys()
    assert "secret1" not in str(caught.value)
    assert ServiceConfig().curve_keys() is None
