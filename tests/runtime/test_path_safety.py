"""A user's path is read only when nothing on the way leads elsewhere."""

import os

import pytest

from steelyard.runtime import path_safety
from steelyard.runtime.path_safety import safe_read_template_path


def test_a_plain_utf8_file_is_read(tmp_path):
    """The text comes back as written."""
    file = tmp_path / "body.json"
    file.write_text('{"prompt": "Grüße"}', encoding="utf-8")
    assert safe_read_template_path(str(file)) == '{"prompt": "Grüße"}'


def test_home_is_expanded(tmp_path, monkeypatch):
    """`~/x` is looked for in the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.txt").write_text("home")
    assert safe_read_template_path("~/x.txt") == "home"


def make_link(directory):
    (directory / "target.txt").write_text("secret")
    (directory / "link.txt").symlink_to(directory / "target.txt")
    return directory / "link.txt"


def make_file_below_a_linked_directory(directory):
    (directory / "real").mkdir()
    (directory / "real" / "x.txt").write_text("secret")
    (directory / "linked").symlink_to(directory / "real")
    return directory / "linked" / "x.txt"


def make_fifo(directory):
    os.mkfifo(directory / "pipe")
    return directory / "pipe"


def make_latin1(directory):
    (directory / "latin1.txt").write_bytes(b"Gr\xfc\xdfe")
    return directory / "latin1.txt"


def make_missing(directory):
    return directory / "missing.txt"


def make_directory(directory):
    return directory


@pytest.mark.parametrize(
    "make",
    [
        make_link,
        make_file_below_a_linked_directory,
        make_fifo,
        make_latin1,
        make_missing,
        make_directory,
    ],
)
def test_anything_else_is_refused(tmp_path, make):
    """Links, linked parents, pipes, directories, missing and undecodable files give None."""
    assert safe_read_template_path(str(make(tmp_path))) is None


@pytest.mark.parametrize("odd", [None, 3, "a\0b", "~nobody-by-this-name/x", "{'inline': 1}", ""])
def test_what_is_no_path_gives_none(odd):
    """Inline templates and nonsense come back as None and never raise."""
    assert safe_read_template_path(odd) is None


def test_a_huge_file_is_refused(tmp_path, monkeypatch):
    """The limit is the limit: one byte more is too much."""
    monkeypatch.setattr(path_safety, "READ_MAX_BYTES", 4)
    (tmp_path / "x").write_text("12345")
    assert safe_read_template_path(str(tmp_path / "x")) is None
    (tmp_path / "x").write_text("1234")
    assert safe_read_template_path(str(tmp_path / "x")) == "1234"
