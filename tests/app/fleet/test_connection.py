import os
import stat

import pytest

from steelyard.app.fleet.connection import (
    CA_ENV,
    KEY_ENV,
    URL_ENV,
    Connection,
    find_connection,
    is_loopback,
    read_connection,
    write_connection,
)
from steelyard.kernel.errors import UsageError

HERE = Connection(url="http://127.0.0.1:1", key="kept", ca_file="ca.pem")


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("", False),
     ("0.0.0.0", False), ("10.0.0.1", False), ("127.example.com", False), ("127.", False)],
)  # fmt: skip
def test_a_name_that_begins_as_a_loopback_address_is_none(host, own):
    assert is_loopback(host) is own


def test_only_the_owner_reads_what_serve_wrote(tmp_path):
    path = write_connection(tmp_path / "fleet", HERE)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_connection(tmp_path / "fleet") == HERE


def test_what_else_this_process_makes_meanwhile_is_made_as_ever(tmp_path, monkeypatch):
    """The mask is the whole process's: an attempt that starts meanwhile would keep it."""
    asked = []
    monkeypatch.setattr(os, "umask", lambda mask: asked.append(mask) or 0o022)
    write_connection(tmp_path, HERE)
    assert asked == []


def test_a_key_that_others_can_read_is_refused(tmp_path):
    write_connection(tmp_path, HERE).chmod(0o640)
    with pytest.raises(UsageError, match="Others can read.*640.*chmod 600"):
        find_connection(tmp_path, {})


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    write_connection(tmp_path, HERE)
    assert find_connection(tmp_path, {}) == HERE
    environ = {URL_ENV: "http://127.0.0.1:1", KEY_ENV: "env", CA_ENV: "env.pem"}
    found = find_connection(tmp_path, environ)
    assert (found.url, found.key, found.ca_file) == (HERE.url, "env", "env.pem")
    found = find_connection(tmp_path, environ, url="https://h", key="flag", ca_file="f")
    assert found == Connection(url="https://h", key="flag", ca_file="f")


def test_the_files_key_is_shown_to_no_other_server(tmp_path):
    write_connection(tmp_path, HERE)
    assert find_connection(tmp_path, {}, url="http://127.0.0.1:2").key == ""
    assert find_connection(tmp_path, {URL_ENV: "http://elsewhere"}).key == ""


def test_nothing_known_says_what_to_do(tmp_path):
    with pytest.raises(UsageError, match="No fleet is known here.*fleet serve.*--url"):
        find_connection(tmp_path, {})


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://u:p@h", "http://h:x", "http://h/?a"])
def test_a_url_that_can_be_none_is_refused(tmp_path, url):
    with pytest.raises(UsageError, match="URL"):
        find_connection(tmp_path, {}, url=url)


def test_a_host_and_port_are_enough(tmp_path):
    assert find_connection(tmp_path, {}, url="h:7600/").url == "http://h:7600"


def test_a_connection_does_not_show_its_key():
    assert "kept" not in repr(HERE)


def test_a_damaged_file_is_told(tmp_path):
    write_connection(tmp_path, HERE).write_text("{")
    with pytest.raises(UsageError, match=r"client.json can't be read"):
        read_connection(tmp_path)
