"""A machine's capabilities are what is there, with names that tasks ask for."""

import platform
import subprocess
import sys

from steelyard.domain.fleet.requirements import Requirements, unmet
from steelyard.runtime.fleet.capabilities import cpu_power_w, detect, short_version


def test_this_machine_fits_tasks_that_it_can_do(tmp_path):
    found = detect(str(tmp_path), labels={"team": "a", "os": "mine"}).capabilities
    python = "python-{}.{}".format(*sys.version_info)
    needs = Requirements(
        cpu_cores=0.1, memory_gb=0.1, disk_gb=0.0001, runtimes=("python", python),
        labels={"team": "a", "os": "mine", "arch": platform.machine()},
    )  # fmt: skip
    assert unmet(needs, "w", found) == ()
    assert found.labels["python.version"] == platform.python_version()
    lacking = unmet(Requirements(gpus=64, browsers=("mosaic",)), "w", found)
    assert len(lacking) == 2


def test_programs_are_looked_for_on_request_only(tmp_path):
    found = detect(str(tmp_path), programs=False).capabilities
    assert (found.runtimes, found.browsers) == ((), ())
    assert found.cpu_cores > 0


def test_nothing_heavy_is_imported_to_find_out(tmp_path):
    """A framework takes seconds, and would hold the GPU that a task is to have."""
    program = (
        "import sys; from steelyard.runtime.fleet.capabilities import detect; detect(sys.argv[1]);"
        "print([m for m in ('torch', 'numpy', 'openvino', 'asyncio') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_versions_are_as_short_as_people_say_them():
    assert short_version("python", "3.11.7") == "3.11"
    assert short_version("node", "20.20.2") == "20"
    assert short_version("go", "1.24.1") == "1.24"


def test_processors_power_is_the_sum_of_their_packages(tmp_path):
    for zone, limit in (("intel-rapl:0", "150000000"), ("intel-rapl:1", "125000000"),
                        ("intel-rapl:0:0", "9000000"), ("intel-rapl:2", "x")):  # fmt: skip
        place = tmp_path / "sys/class/powercap" / zone
        place.mkdir(parents=True)
        (place / "constraint_0_power_limit_uw").write_text(limit + "\n")
    (tmp_path / "sys/class/powercap/intel-rapl:3").mkdir()
    assert cpu_power_w(tmp_path) == 275.0
    assert cpu_power_w(tmp_path / "none") == 0.0
