"""What every test of this repository gets; strangers can have the same from steelyard.testing."""

import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Whoever runs tests in the background of a shell has them deaf to Ctrl-C, and with them the
    # programs that they start to press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["steelyard.testing.fixtures", "steelyard.testing.components", "pytester"]


@pytest.fixture(scope="session", autouse=True)
def no_state_of_the_user(tmp_path_factory):
    """A calibration of this machine would give every run other error bars than a fresh one has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
