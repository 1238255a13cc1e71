"""What is told of plugins in a list."""

from steelyard.app.plugin_report import list_rows
from steelyard.runtime.plugin_host import PluginHost


class Backend:
    def open(self, run):
        """Not called."""

    def log(self, items):
        """Not called."""

    def flush(self):
        """Not called."""

    def close(self, end):
        """Not called."""


def test_what_nobody_read_back_of_a_backend_is_told():
    host = PluginHost()
    host.register(
        "backend", "half", Backend, takes=["scalar", "artifact", "tag"], verified=["scalar"]
    )
    host.register("backend", "whole", Backend, takes=["scalar"], verified=["scalar"])
    notes = {row.name: row.notes for row in list_rows(host, "backend")}
    assert notes == {"half": ("unverified: artifact, tag",), "whole": ()}
