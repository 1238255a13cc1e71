"""A machine's name in the fleet."""

import platform

import pytest

from steelyard.app.fleet.cluster_joining import default_name


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("gpu-1.lab", "gpu-1.lab"),
        ("my machine (2)", "my-machine-2"),
        ("x" * 80, "x" * 63),
        ("x" * 62 + ".lab", "x" * 62),
        ("", "worker"),
    ],
)
def test_a_hosts_name_becomes_one_that_ray_takes(host, name, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: host)
    assert default_name() == name
