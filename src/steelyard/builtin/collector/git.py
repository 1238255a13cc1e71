"""Which code ran: the commit, and what was changed since."""

import os
import re
import subprocess
import sys
from pathlib import Path

from steelyard.domain.track.ports import Noted
from steelyard.kernel.errors import PluginError
from steelyard.kernel.secrets import known_secrets, scrubbed

TIMEOUT_S = 10.0
DIFF_BYTES_MAX = 1 << 20
_SECRET_FILES = ("*.env", ".env*", "*.pem", "*.key", "*.p12", "*credential*", "*secret*", "*token*")
_USER = re.compile(r"^(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://))?(?:[^@/]*@)?(?P<rest>[^?#]*)")


class GitCollector:
    """Branch, commit, whether files were changed, the remote, and the changes as an artifact.

    Git is asked in ways that take no locks and start no program that a repository names. Files that
    are there for secrets are left out of the changes, what looks like one in the others is
    `<redacted>`, and of a remote's URL all is cut that could hold one.

    Args:
        directory: in the repository; without it that of the script, else the current one.
        diff: keep the changes since the commit, of files that git knows.
        diff_bytes_max: bytes of it that are kept.
    """

    def __init__(
        self, *, directory: str = "", diff: bool = True, diff_bytes_max: int = DIFF_BYTES_MAX
    ) -> None:
        self._directory = directory
        self._diff = diff
        self._diff_bytes_max = diff_bytes_max

    def facts(self) -> Noted:
        """Return what the repository says; nothing where there is none."""
        top = self._top()
        if not top:
            return Noted()
        status = _git(top, "status", "--porcelain=v2", "--branch", "--untracked-files=normal")
        head = dict(re.findall(r"^# branch\.(\w+) (.*)$", status, re.MULTILINE))
        changed = [line for line in status.splitlines() if line[:1] in "12u"]
        commit = "" if head.get("oid") == "(initial)" else head.get("oid", "")
        branch = "" if head.get("head") == "(detached)" else head.get("head", "")
        params = {
            "commit": commit,
            "branch": branch,
            "dirty": bool(changed),
            "changed_files": len(changed),
            "untracked": sum(line.startswith("?") for line in status.splitlines()),
            "remote": shown_url(
                _git(top, "config", "--get", "remote.origin.url", fails="").strip()
            ),
        }
        artifacts = {}
        if commit and changed and self._diff:
            data, is_cut = self._changes(top)
            artifacts = {"changes.diff": data} if data else {}
            params |= {"diff_cut": True} if is_cut else {}
        tags = {"commit": commit, "branch": branch, "dirty": str(bool(changed)).lower()}
        return Noted(
            {key: value for key, value in params.items() if value != ""},
            {key: value for key, value in tags.items() if value},
            artifacts,
        )

    def _top(self) -> str:
        """Return the root of the repository, empty when there is none."""
        main = getattr(sys.modules.get("__main__"), "__file__", None)
        beside = str(Path(main).resolve().parent) if main else ""
        for directory in [self._directory] if self._directory else filter(None, (beside, ".")):
            top = _git(directory, "rev-parse", "--show-toplevel", fails="").rstrip("\n")
            if top:
                return top
        return ""

    def _changes(self, top: str) -> tuple[bytes, bool]:
        """Return the difference from the commit, whole lines of it, and whether it was cut."""
        words = ["diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", "."]
        words += [f":(exclude,icase,glob)**/{pattern}" for pattern in _SECRET_FILES]
        with subprocess.Popen(
            _command(words), cwd=top, env=_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            data = process.stdout.read(self._diff_bytes_max + 1) if process.stdout else b""
            process.kill()
        is_cut = len(data) > self._diff_bytes_max
        if is_cut:
            data = data[: data.rfind(b"\n", 0, self._diff_bytes_max) + 1]
        known = known_secrets(os.environ)
        lines = data.decode("utf-8", "surrogateescape").splitlines(keepends=True)
        text = "".join(scrubbed(line, known) for line in lines)
        return text.encode("utf-8", "surrogateescape"), is_cut


def _command(words: list[str]) -> list[str]:
    return ["git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "core.quotePath=true", *words]


def _environment() -> dict[str, str]:
    return {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _git(directory: str, *words: str, fails: str | None = None) -> str:
    """Return what git says; `fails`, where it is given, when git says no or is not there.

    Raises:
        PluginError: git says no, or nothing within `TIMEOUT_S`.
    """
    try:
        done = subprocess.run(
            _command(list(words)), cwd=directory, env=_environment(), stdin=subprocess.DEVNULL,
            capture_output=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        if fails is not None:
            return fails
        raise PluginError(f"git {words[0]} gave no answer: {error}") from error
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace")
    if fails is not None:
        return fails
    text = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
    raise PluginError(f"git {words[0]} failed: {text}")


def shown_url(url: str) -> str:
    """Return a remote without user, password, query and fragment."""
    found = _USER.match(url)
    return scrubbed(f"{found['scheme'] or ''}{found['rest']}") if found else ""
