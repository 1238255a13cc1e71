"""W&B online, against what stands in for its server: what is sent, and when it does not answer."""

import base64
import gc
import json
import time

import pytest
from wandb_stand_in import StandIn

from steelyard.builtin.backend.wandb.rows import STEP
from steelyard.builtin.backend.wandb.runs import WandbBackend
from steelyard.domain.track.events import RunEnded
from steelyard.testing.contracts.backend import facts, points

pytestmark = pytest.mark.filterwarnings("ignore")  # W&B's own

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def server():
    running = StandIn()
    yield running
    running.stop()
    gc.collect()  # W&B leaves its processes to the collector, which warns of them


@pytest.fixture
def make(server, tmp_path):
    return lambda timeout_s=50.0: WandbBackend(
        "online", str(tmp_path), base_url=server.url, api_key=KEY, timeout_s=timeout_s
    )


def seen(server):
    """Return the values that the server has, in its order."""
    return [
        (name, row[STEP], row[name])
        for row in map(json.loads, server.history)
        for name in ("loss", "val/accuracy")
        if name in row
    ]


def given(items):
    return [(item.name, item.step, item.value) for item in items]


def test_a_run_goes_on_in_another_process(server, make):
    """All rows once, in order, in one run; the key is sent as W&B's SDK does."""
    first = make()
    reference = first.open(facts())
    first.log(points(200))
    first.close(None)
    second = make()
    second.open(facts(reference))
    second.log(points(200, first=200))
    second.close(RunEnded(status="killed"))
    assert seen(server) == given(points(400))
    assert server.run["name"] == facts().run_id
    assert server.exit_code == 255
    login = base64.b64encode(f"api:{KEY}".encode()).decode()
    assert server.keys == {f"Basic {login}"}


def test_a_server_that_goes_away_gets_all_when_it_is_back(server, make):
    """The end is told in time, and the next attempt sends what was not there."""
    first = make()
    reference = first.open(facts())
    first.log(points(200))
    first.close(None)
    second = make(timeout_s=10.0)
    second.open(facts(reference))
    server.stop()
    second.log(points(200, first=200))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        second.close(RunEnded(status="finished"))
    assert time.monotonic() - begun < 60
    server.start()
    third = make()
    third.open(facts(reference))
    third.close(RunEnded(status="finished"))
    assert seen(server) == given(points(400))
    assert server.exit_code == 0


def test_a_run_begins_when_its_server_is_there(server, make):
    """By the same process, which W&B would tell that the run is in use."""
    server.stop()
    backend = make()
    for _ in range(2):
        with pytest.raises(Exception, match="connection refused"):
            backend.open(facts())
    server.start()
    backend.open(facts())
    backend.log(points(20))
    backend.close(RunEnded(status="finished"))
    assert seen(server) == given(points(20))
