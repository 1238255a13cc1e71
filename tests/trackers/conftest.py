"""Tests of trackers with their real SDKs; run by tests/without_network/test_offline.py.

Several SDKs call their vendors, so these are collected only where no network is.
"""

import errno
import os
import socket

import pytest
from offline import VARIABLE

OUTSIDE = ("192.0.2.1", 443)  # for documentation: nobody is there


def pytest_ignore_collect() -> bool | None:
    """Leave everything here alone outside."""
    return None if os.environ.get(VARIABLE) else True


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """A packet to the outside has no way to go."""
    with socket.socket() as probe:
        assert probe.connect_ex(OUTSIDE) == errno.ENETUNREACH
