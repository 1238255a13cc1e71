import json
import platform
from pathlib import Path

from steelyard import __version__
from steelyard.runtime.host_facts import FLEET_WORKER, boot_id, host_facts, host_id, host_identity


def test_facts_are_plain_data_about_this_host():
    facts = host_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["steelyard_version"] == __version__
    assert facts["python"].endswith(platform.python_version())
    assert 1 <= facts["cpu_usable"] <= facts["cpu_count"]
    assert facts["memory_bytes"] > 2**20
    assert facts["boot_id"] == boot_id()
    assert facts["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_no_environment_and_no_machine_id_gets_out(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")
    text = json.dumps(host_facts())
    assert "sk-very-secret" not in text
    machine_id = Path("/etc/machine-id")
    if machine_id.exists() and machine_id.read_text().strip():
        assert machine_id.read_text().strip() not in text


def test_the_host_id_is_stable_and_fits_a_file_name():
    assert host_id() == host_id()
    assert "/" not in host_id()


def test_what_a_fleet_runs_is_known_by_the_fleets_name_too(monkeypatch):
    """Where that is another one: several nodes may share a machine."""
    monkeypatch.delenv(FLEET_WORKER, raising=False)
    plain = host_identity()
    monkeypatch.setenv(FLEET_WORKER, plain.name)
    assert host_identity() == plain
    monkeypatch.setenv(FLEET_WORKER, "n2")
    placed = host_identity()
    assert placed.name == f"n2 ({plain.name})"
    assert (placed.host_id, placed.clock_id) == (plain.host_id, plain.clock_id)
