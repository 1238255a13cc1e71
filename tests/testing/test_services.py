"""The service kit passes good services and refuses bad ones; the package names its kits."""

import textwrap

import pytest

import steelyard.testing
from steelyard.testing.plugins import mock_plugin
from steelyard.testing.services import BaseTestService

GOOD = """
    class Made(Service):
        service_type = "made"
"""
NAMELESS = """
    class Made(Service):
        pass
"""
LITTERING = """
    class Made(Service):
        service_type = "made"

        @on_start
        async def _start(self):
            self.left = asyncio.ensure_future(asyncio.Event().wait())
"""
DEAF = """
    class Made(Service):
        service_type = "made"

        async def start(self):
            self.state = ServiceState.RUNNING
"""
MUTE = """
    class Made(Service):
        service_type = "made"

        def _heartbeat(self):
            self.beats = 0
"""
SUITE = """
    import asyncio

    import pytest

    from steelyard.kernel.lifecycle import ServiceState
    from steelyard.runtime.service import Service, on_start
    from steelyard.testing import services
    from steelyard.testing.services import BaseTestComponentService

    services.WAIT_S = {wait_s}
    {made}

    class TestMade(BaseTestComponentService):
        @pytest.fixture
        def service_class(self):
            return Made
"""


@pytest.mark.parametrize(
    ("made", "refused_by"),
    [
        (GOOD, None),
        (NAMELESS, "test_it_states_its_role"),
        (LITTERING, "test_it_leaves_no_task_behind"),
        (DEAF, "test_a_step_out_of_order_is_refused"),
        (MUTE, "test_it_registers_and_sends_heartbeats"),
    ],
    ids=["good", "nameless", "littering", "deaf", "mute"],
)
def test_the_kit_tells_good_services_from_bad_ones(pytester, made, refused_by):
    """A sound service passes all; each saboteur is caught by the test that is about its fault."""
    suite = textwrap.dedent(SUITE).replace("{made}", textwrap.dedent(made))
    # Only what is missing is waited for to the end.
    suite = suite.replace("{wait_s}", "60.0" if refused_by is None else "1.0")
    pytester.makepyfile(suite)
    pytester.makeini("[pytest]\nasyncio_mode = strict\n")
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    outcomes = result.parseoutcomes()
    if refused_by is None:
        assert outcomes == {"passed": 8}
    else:
        assert outcomes["failed"] >= 1
        result.stdout.fnmatch_lines([f"FAILED *::{refused_by}*"])


def test_a_suite_must_name_its_class(pytester):
    """Forgetting the fixture says which one."""
    pytester.makepyfile(
        "from steelyard.testing.services import BaseTestService\n"
        "class TestMade(BaseTestService): ...\n"
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*TestMade must override the fixture service_class*"])


def test_the_package_names_its_kits():
    """The documented names are one import away; others don't exist."""
    assert steelyard.testing.BaseTestService is BaseTestService
    assert steelyard.testing.mock_plugin is mock_plugin
    assert all(hasattr(steelyard.testing, name) for name in steelyard.testing.__all__)
    assert not hasattr(steelyard.testing, "BaseTestSrevice")
