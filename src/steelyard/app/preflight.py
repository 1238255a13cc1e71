"""Before a run: do its plugins take their settings, can the servers be reached, is there room?"""

import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from steelyard.domain.bench.plan import EndpointPlan, Plan
from steelyard.domain.bench.targets import Target
from steelyard.kernel.errors import EndpointUnreachableError, UsageError
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.tls import client_context, explain

JOURNAL_DIR = "journal"
OUTPUTS = ("profile_export*", "raw_records", "post_processors", "tracked.json")
"""What a run leaves beside its journal, as patterns of names."""


def require_plugins(plan: Plan, host: PluginHost) -> None:
    """Make the endpoint once, so that what a user set wrong is told before anything starts.

    Imported here, it and the classes of dataset and tokenizer are shared by all forked roles.

    Raises:
        UsageError: the endpoint refuses its settings.
        PluginError: one of the three can't be used.
    """
    host.create("endpoint", plan.endpoint.type, plan.endpoint)
    host.load("dataset", plan.dataset.type)
    host.load("tokenizer", plan.dataset.tokenizer)


def require_reachable(targets: Sequence[Target], plan: EndpointPlan) -> None:
    """Connect to each server once, TLS included, and close again.

    Raises:
        EndpointUnreachableError: none of them takes a connection; the first one's reason is given.
        UsageError: the file of CA certificates can't be read.
    """
    context = client_context(plan) if any(target.tls for target in targets) else None
    reasons = []
    for target in targets:
        try:
            _connect(target, plan.connect_timeout_s or None, context)
        except ssl.SSLError as error:
            reasons.append((target.url, f"tls: {explain(error)}"))
        except TimeoutError as error:
            what = "TLS handshake" if target.tls else "connection"
            late = f"no {what} within {plan.connect_timeout_s:g} s"
            reasons.append((target.url, error.strerror or late))
        except OSError as error:
            reasons.append((target.url, error.strerror or str(error)))
        else:
            return
    url, reason = reasons[0]
    raise EndpointUnreachableError(
        f"No connection to {url}: {reason}",
        next_step="Is the server up, and is the URL right? Try `curl` on it, or `steelyard mock`.",
    )


def _connect(target: Target, timeout_s: float | None, context: ssl.SSLContext | None) -> None:
    if target.unix_path:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect(target.unix_path)
    else:
        with socket.create_connection((target.host, target.port), timeout_s) as sock:
            if target.tls and context is not None:
                context.wrap_socket(sock, server_hostname=target.host).close()


def make_directory(directory: Path) -> None:
    """Make the artifact directory.

    Raises:
        UsageError: it can't be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(directory, error.strerror or str(error)) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _unusable(directory, "it is not writable")


def set_journal_aside(directory: Path) -> None:
    """Rename the journal of an earlier run in this directory; nothing of it is lost.

    Its outputs go with it, into the old journal's directory: beside those of the run to come they
    would pass for its own.

    Raises:
        UsageError: they can't be renamed.
    """
    journal = directory / JOURNAL_DIR
    if not journal.exists():
        return
    number = 1
    while (old := directory / f"{JOURNAL_DIR}.old-{number}").exists():
        number += 1
    try:
        journal.rename(old)
        for output in sorted(path for name in OUTPUTS for path in directory.glob(name)):
            output.rename(old / output.name)
    except OSError as error:
        raise _unusable(directory, error.strerror or str(error)) from error


def _unusable(directory: Path, reason: str) -> UsageError:
    return UsageError(
        f"The artifact directory can't be used: {reason}",
        got=str(directory),
        expected="a directory that can be made and written",
        next_step="Choose another with --artifact-dir.",
    )
