"""Which code ran, from real repositories; no secret and no program of theirs."""

import subprocess

import pytest

from steelyard.builtin.collector.git import GitCollector, shown_url
from steelyard.kernel.errors import PluginError


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit of one file."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root = tmp_path / "code"
    root.mkdir()
    git(root, "init", "-q", "-b", "trunk")
    git(root, "config", "user.email", "a@example.org")
    git(root, "config", "user.name", "A")
    (root / "train.py").write_text("lr = 0.1\n")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "Begin")
    return root


def git(root, *words):
    done = subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def facts(root, **options):
    return GitCollector(directory=str(root), **options).facts()


def test_a_clean_repository_has_a_commit_and_a_branch(repository):
    found = facts(repository)
    commit = git(repository, "rev-parse", "HEAD")
    assert found.params == {
        "commit": commit, "branch": "trunk", "dirty": False, "changed_files": 0, "untracked": 0,
    }  # fmt: skip
    assert found.tags == {"commit": commit, "branch": "trunk", "dirty": "false"}
    assert found.artifacts == {}


def test_changes_can_be_applied_again(repository, tmp_path):
    """What is kept turns the commit into what ran, staged or not; new files are only counted."""
    (repository / "train.py").write_text("lr = 0.2\n")
    (repository / "more.py").write_text("x = 1\n")
    git(repository, "add", "more.py")
    (repository / "notes.txt").write_text("new")
    found = facts(repository)
    assert (found.params["dirty"], found.params["changed_files"]) == (True, 2)
    assert found.params["untracked"] == 1
    copy = tmp_path / "copy"
    git(tmp_path, "clone", "-q", str(repository), str(copy))
    subprocess.run(["git", "apply"], cwd=copy, input=found.artifacts["changes.diff"], check=True)
    assert (copy / "train.py").read_text() == "lr = 0.2\n"
    assert (copy / "more.py").read_text() == "x = 1\n"
    assert "diff_cut" not in found.params


def test_changes_are_cut_at_a_line_and_that_is_said(repository):
    (repository / "train.py").write_text("".join(f"x{n} = {n}\n" for n in range(20_000)))
    found = facts(repository, diff_bytes_max=5000)
    diff = found.artifacts["changes.diff"]
    assert 4900 < len(diff) <= 5000
    assert diff.endswith(b"\n")
    assert found.params["diff_cut"] is True
    assert facts(repository, diff=False).artifacts == {}


def test_secrets_in_changes_are_not_kept(repository, monkeypatch):
    """Neither files for secrets, nor what looks like one, nor what the environment holds as one."""
    monkeypatch.setenv("SERVICE_API_KEY", "plain-words-here")
    for name in (".env", "prod.env", "server.pem"):
        (repository / name).write_text("a=1\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "More")
    for name in (".env", "prod.env", "server.pem"):
        (repository / name).write_text("SECRET_OF_FILE\n")
    (repository / "train.py").write_text(
        'api_key = "sk-live-1234567890abcdefghij"\nwhere = "plain-words-here"\nlr = 0.3\n'
    )
    diff = facts(repository).artifacts["changes.diff"].decode()
    assert "SECRET_OF_FILE" not in diff
    assert "sk-live" not in diff
    assert "plain-words-here" not in diff
    assert "+lr = 0.3" in diff


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:ghp_abc@example.org/team/x.git", "https://example.org/team/x.git"),
        ("https://oauth2:tok:en@example.org/x", "https://example.org/x"),
        ("https://example.org/x.git?private_token=abc#t", "https://example.org/x.git"),
        ("git@example.org:team/x.git", "example.org:team/x.git"),
        ("ssh://git@example.org:2222/x", "ssh://example.org:2222/x"),
        ("/srv/git/x.git", "/srv/git/x.git"),
        ("", ""),
    ],
)
def test_a_remote_is_shown_without_what_could_be_a_secret(url, shown):
    assert shown_url(url) == shown


def test_the_remote_of_the_repository_is_told_so(repository):
    git(repository, "remote", "add", "origin", "https://me:t0ken@example.org/x.git")
    assert facts(repository).params["remote"] == "https://example.org/x.git"


def test_a_repository_starts_no_program(repository, tmp_path):
    """Neither its file monitor, nor its diff, nor its filters for text."""
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    (repository / ".gitattributes").write_text("*.py diff=own\n")
    git(repository, "add", ".gitattributes")
    git(repository, "commit", "-q", "-m", "More")
    for name in ("core.fsmonitor", "diff.external", "diff.own.textconv", "diff.own.command"):
        git(repository, "config", name, str(trap))
    (repository / "train.py").write_text("lr = 0.4\n")
    found = facts(repository)
    assert b"+lr = 0.4" in found.artifacts["changes.diff"]
    assert not (tmp_path / "sprung").exists()


def test_a_detached_head_and_a_repository_without_commits_are_told(repository, tmp_path):
    git(repository, "checkout", "-q", "--detach")
    assert "branch" not in facts(repository).params
    empty = tmp_path / "empty"
    git(tmp_path, "init", "-q", "-b", "trunk", str(empty))
    (empty / "a").write_text("a")
    git(empty, "add", "a")
    found = facts(empty)
    assert "commit" not in found.params
    assert (found.params["dirty"], found.artifacts) == (True, {})


def test_outside_of_a_repository_there_are_no_facts(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert facts(tmp_path).params == {}


def test_without_git_there_are_no_facts(repository, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert facts(repository).params == {}


def test_a_broken_repository_is_told_in_gits_words(repository):
    (repository / ".git" / "index").write_bytes(b"broken")
    with pytest.raises(PluginError, match="git status failed: .*index"):
        facts(repository)
