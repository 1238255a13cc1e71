"""What Ray is told: always to authenticate, and how soon a node is dead."""

import pytest

from steelyard.kernel.errors import SteelyardError, UsageError
from steelyard.runtime.fleet.ray_cluster import (
    NODE_VARIABLE,
    NodeSettings,
    Tls,
    failure_detection,
    is_secured,
    node_settings,
    security,
)


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("a" * 64)
    return path


def test_authentication_is_on_and_the_token_stays_in_its_file(token):
    assert security(str(token), environ={}) == {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token),
    }  # fmt: skip


def test_a_token_in_the_environment_is_left_there(tmp_path):
    found = security(environ={"RAY_AUTH_TOKEN": "a" * 64, "HOME": str(tmp_path)})
    assert found == {"RAY_AUTH_MODE": "token"}


def test_a_file_that_is_named_wins_over_the_environment(token):
    assert "RAY_AUTH_TOKEN_PATH" in security(str(token), environ={"RAY_AUTH_TOKEN": "b" * 64})


@pytest.mark.parametrize("mode", ["disabled", "Disabled", "none"])
def test_a_cluster_without_authentication_is_refused(mode, token):
    with pytest.raises(UsageError, match="must authenticate"):
        security(str(token), environ={"RAY_AUTH_MODE": mode})
    assert not is_secured({"RAY_AUTH_MODE": mode})


def test_without_a_token_nothing_begins(tmp_path):
    with pytest.raises(UsageError, match="no token") as caught:
        security(str(tmp_path / "none"), environ={})
    assert "head" in str(caught.value)


def test_a_node_of_somebody_else_is_not_secured():
    assert not is_secured({})
    assert is_secured({"RAY_AUTH_MODE": "token"})


def test_certificates_are_named_to_ray(token, tmp_path):
    paths = [tmp_path / name for name in ("node.pem", "node.key", "ca.pem")]
    for path in paths:
        path.write_text("PEM")
    certificate, key, authority = map(str, paths)
    tls = Tls(certificate=certificate, key=key, authority=authority)
    found = security(str(token), tls, {})
    assert found["RAY_USE_TLS"] == "1"
    assert found["RAY_TLS_SERVER_CERT"] == certificate
    assert found["RAY_TLS_SERVER_KEY"] == key
    assert found["RAY_TLS_CA_CERT"] == authority
    paths[2].unlink()
    with pytest.raises(UsageError, match=r"ca\.pem"):
        security(str(token), tls, {})


def test_a_silent_node_is_dead_after_the_time_asked_for():
    found = failure_detection(5.0)
    period_ms = int(found["RAY_health_check_period_ms"])
    assert period_ms * int(found["RAY_health_check_failure_threshold"]) == 5_000
    with pytest.raises(UsageError, match="so soon"):
        failure_detection(0.5)


def test_what_a_node_says_of_itself_is_read_on_it():
    assert node_settings({}) == NodeSettings()
    found = node_settings({NODE_VARIABLE: '{"slots": 3, "labels": {"rack": "a/1"}}'})
    assert (found.slots, found.labels) == (3, {"rack": "a/1"})
    with pytest.raises(SteelyardError, match=NODE_VARIABLE):
        node_settings({NODE_VARIABLE: "{"})
