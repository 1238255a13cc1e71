"""The backend of ClearML's server, before there is one."""

import pytest

from steelyard.builtin.backend.clearml.server import ClearmlBackend
from steelyard.domain.track.events import RunEnded
from steelyard.kernel.errors import PluginError
from steelyard.testing.contracts.backend import points


def test_it_must_be_open_to_log_and_may_be_closed_unopened():
    backend = ClearmlBackend()
    for call in (lambda: backend.log(points(1)), backend.flush):
        with pytest.raises(PluginError, match="not open"):
            call()
    backend.close(RunEnded(status="finished"))
