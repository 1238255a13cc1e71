"""Machines of their own on this one: network namespaces, and cables that can be cut."""

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from steelyard.testing.components import require_component

_numbers = itertools.count(1)


class Cable:
    """A network namespace and the two addresses of its link to this machine.

    Attributes:
        outside, inside: the addresses of this machine and of the namespace on it.
        within: words before a command that is to run in the namespace.
    """

    def __init__(self, name: str, net: str) -> None:
        self.name = name
        self.outside, self.inside = f"{net}.1", f"{net}.2"
        self.within = ("ip", "netns", "exec", name)
        self._link, self._far = f"{name}a", f"{name}b"
        self._is_cut = False

    def lay(self) -> None:
        _ip("netns", "add", self.name)
        _ip("link", "add", self._link, "type", "veth", "peer", self._far, "netns", self.name)
        _ip("address", "add", f"{self.outside}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        for words in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{self.inside}/30", "dev", self._far),
            ("link", "set", self._far, "up"),
        ):
            _ip("-netns", self.name, *words)

    def cut(self) -> None:
        """Lose every packet, both ways, without a word to anybody."""
        self._tc("replace", "blackhole")
        self._is_cut = True

    def mend(self) -> None:
        """Let packets through again; one that is whole stays as it is."""
        if self._is_cut:
            self._tc("del")
        self._is_cut = False

    def _tc(self, verb: str, *kind: str) -> None:
        for before, link in (((), self._link), (self.within, self._far)):
            subprocess.run([*before, "tc", "qdisc", verb, "dev", link, "root", *kind], check=True)

    def remove(self) -> None:
        # The link goes with the namespace, once the last process in it has ended.
        _ip("link", "del", self._link, check=False)
        _ip("netns", "del", self.name, check=False)


@contextlib.contextmanager
def cable() -> Iterator[Cable]:
    """Yield a namespace with a link; skip where this user may not make one."""
    for program in ("ip", "tc"):
        require_component("iproute2", executable=program, install="make setup-system")
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root may make a network namespace with a link to this machine")
    number = os.getpid() % 16_000 * 4 + next(_numbers) % 4
    made = Cable(f"sy{number:x}", f"10.{201 + number // 256 % 50}.{number % 256}")
    try:
        made.lay()
    except subprocess.CalledProcessError as error:
        made.remove()
        pytest.skip(f"no network namespace can be made here: {error.stderr.strip()}")
    try:
        yield made
    finally:
        made.remove()


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True, text=True)
