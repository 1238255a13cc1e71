"""The reference pages are made from the code, and those in the repository are up to date."""

import importlib.util
from pathlib import Path

import pytest

from steelyard.app.config.fields import flag_fields
from steelyard.cli.commands import COMMANDS
from steelyard.cli.reference import cli_page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("docs_tool", ROOT / "tools" / "generate_docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_in_the_repository_are_those_of_this_code(tool, capsys):
    assert tool.main(["--check"]) == 0, capsys.readouterr().out


def test_every_command_and_flag_is_on_the_page():
    page = cli_page()
    assert all(f"## `steelyard {command.name}`" in page for command in COMMANDS)
    assert all(f"`{name}`" in page for field in flag_fields() for name in field.names)


def test_a_stale_page_fails_the_check_and_shows_the_difference(tool, tmp_path, capsys):
    assert tool.main(["environment", "--directory", str(tmp_path)]) == 0
    assert tool.main(["environment", "--check", "--directory", str(tmp_path)]) == 0
    page = tmp_path / "environment.md"
    page.write_text(page.read_text().replace("STEELYARD_ISL", "STEELYARD_OLD"))
    assert tool.main(["environment", "--check", "--directory", str(tmp_path)]) == 1
    assert "STEELYARD_OLD" in capsys.readouterr().out
