"""GPUs are told as NVML tells them: through pynvml's own calls into a library with known answers.

No machine that runs these tests has a GPU: that the real driver answers alike is not shown here.
"""

import json

import pytest
from fake_nvml import GPU_0, build_nvml, run_with_nvml

from steelyard.builtin.collector.gpu import GpuCollector
from steelyard.kernel.errors import PluginError

PROGRAM = """
import json, sys
from steelyard.builtin.collector.gpu import GpuCollector

collector = GpuCollector(devices=json.loads(sys.argv[1]))
collector.validate_environment()
collector.start()
print(json.dumps([collector.facts().params, collector.collect()]))
collector.stop()
"""

KIT = """
from steelyard.builtin.collector.gpu import GpuCollector
from steelyard.testing.contracts.collector import CollectorContract, CollectorSubject
from steelyard.testing.contracts.kit import rejections

subject = CollectorSubject(
    GpuCollector, names=("0/utilization_percent", "1/memory_used_bytes"), facts=("driver", "0.name")
)
print(rejections(CollectorContract, subject))
"""

RUN = """
import sys, time
from steelyard.track import Experiment

until = time.monotonic() + 60
with Experiment("gpu", directory=sys.argv[1], collectors={"gpu": {"period_s": 0.1}}) as experiment:
    while not eval(sys.argv[2], {"run": experiment.snapshot()}) and time.monotonic() < until:
        time.sleep(0.02)
run = experiment.snapshot()
tags = {tag: text for tag, text in run.tags.items() if "beats missed" not in text}
print(tags, sorted(run.metrics)[:1], run.params.get("gpu.0.name"))
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build_nvml(tmp_path_factory.mktemp("nvml"))


def told(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_each_gpu_is_told_in_the_units_of_its_names(library):
    """Milliwatts become watts; what the second GPU does not support is left out."""
    facts, numbers = json.loads(told(run_with_nvml(library, PROGRAM, "", "null")))
    assert facts["driver"] == "570.86.15"
    assert facts["count"] == 2
    assert facts["0"] == {"name": "Fake H100", "memory_bytes": 80e9, "power_limit_w": 700.0}
    assert facts["1"] == {"name": "Fake H200", "memory_bytes": 80e9}
    assert numbers["0"] == GPU_0
    assert set(GPU_0) - set(numbers["1"]) == {"power_w"}
    assert numbers["1"]["utilization_percent"] == 10


def test_only_the_chosen_gpus_are_told(library):
    facts, numbers = json.loads(told(run_with_nvml(library, PROGRAM, "", "[1]")))
    assert set(numbers) == {"1"}
    assert set(facts) == {"driver", "count", "1"}


def test_it_keeps_the_contract(library):
    assert told(run_with_nvml(library, KIT)) == "{}"


@pytest.mark.parametrize(
    ("mode", "words"),
    [("no-driver", "NVML can't be used: Driver Not Loaded"), ("no-gpu", "There is no NVIDIA GPU")],
)
def test_what_the_machine_lacks_is_said_before_it_starts(library, mode, words):
    done = run_with_nvml(library, PROGRAM, mode, "null")
    assert done.returncode == 1
    assert words in done.stderr


def test_a_run_has_its_gpus(library, tmp_path):
    out = told(run_with_nvml(library, RUN, "", str(tmp_path), "run.metrics"))
    assert out == "{} ['gpu/0/memory_clock_mhz'] Fake H100"


def test_a_gpu_that_falls_off_the_bus_ends_the_collector_and_not_the_run(library, tmp_path):
    done = run_with_nvml(library, RUN, "lost", str(tmp_path), "run.tags")
    assert "given up: Plugin collector 'gpu' failed to collect" in told(done)
    assert "GPU is lost" in done.stdout
    assert done.stderr.count("is given up") == 1


def test_without_a_library_the_next_step_is_told():
    """This machine has no driver of its own."""
    with pytest.raises(PluginError, match="NVML can't be used: NVML Shared Library Not Found"):
        GpuCollector.validate_environment()
