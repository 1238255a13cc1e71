"""What every test of this repository gets; strangers can have the same from steelyard.testing."""

import signal

import pytest
from hypothesis import HealthCheck, settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs tests in the background of a shell has them deaf to Ctrl-C, and with them the
    # programs that they start to press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example that takes long is no fault of what it is an example for: the machine may have paused.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

pytest_plugins = ["steelyard.testing.fixtures", "steelyard.testing.components", "pytester"]


@pytest.fixture(scope="session", autouse=True)
def no_state_of_the_user(tmp_path_factory):
    """A calibration of this machine would give every run other error bars than a fresh one has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
