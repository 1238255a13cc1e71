"""What a run is told when roles do not start: each reason once, and who it was."""

import pytest

from steelyard.kernel.errors import EXIT_BUG, EXIT_PLUGIN
from steelyard.runtime.bus_port import CommandFailedError, CommandTimeoutError
from steelyard.runtime.roles import RoleSpec, early_ends_of, refusal_of, services_of


@pytest.fixture
def workers():
    ids = ("w_a", "w_b", "w_c", "w_d", "w_e")
    return services_of(RoleSpec(service_type="worker", target="a:B", ids=ids))


def end(services, reason):
    for service in services:
        service.death = service.died(reason, 1)
    return list(services)


def test_roles_that_end_while_starting_are_grouped_by_their_reason(workers):
    ended = end(workers[:2], "no disk") + end(workers[2:3], "no luck")
    assert str(early_ends_of(ended)) == (
        "roles ended while starting: w_a and w_b: no disk; w_c: no luck."
    )
    assert str(early_ends_of(end(workers, "no disk"))) == (
        "roles ended while starting: w_a, w_b, w_c and 2 more: no disk."
    )
    assert early_ends_of(services_of(RoleSpec(service_type="worker", target="a:B"))) is None


def test_roles_that_refuse_a_step_for_one_reason_are_named_together(workers):
    """Whether each answered, was known to have failed before, or could not answer any more."""
    workers[0].error, workers[0].exit_code = "PluginError: no.", EXIT_PLUGIN
    answers = [
        CommandFailedError("w_a", "ConfigureRun", "the service is stopping"),
        CommandFailedError("w_b", "ConfigureRun", "w_b is gone: PluginError: no.", EXIT_PLUGIN),
        CommandTimeoutError("w_c", "ConfigureRun", 60),
        None,
        CommandFailedError("w_e", "ConfigureRun", "PluginError: no.", EXIT_PLUGIN),
    ]
    refusal = refusal_of(workers, answers)
    assert str(refusal) == (
        "'w_a', 'w_b' and 'w_e' failed on ConfigureRun: PluginError: no; "
        "'w_c' did not answer ConfigureRun within 60 s. "
        "Look for it in logs/steelyard.log of the artifact directory."
    )
    assert refusal.exit_code == EXIT_PLUGIN


def test_one_role_that_refuses_a_step_is_said_as_it_said_it(workers):
    answers = [ValueError("x"), None, None, None, None]
    refusal = refusal_of(workers, answers)
    assert (str(refusal), refusal.exit_code) == ("x.", EXIT_BUG)
    assert refusal_of(workers, [None] * 5) is None
