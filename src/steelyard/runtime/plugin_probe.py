"""Tries a stranger's plugin in a process of its own, so that nothing it does on import matters.

`probe` is the parent's side; `python -m steelyard.runtime.plugin_probe` is the child's: spec as
JSON on stdin, result as JSON on stdout; what the plugin prints goes to a file.
"""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time

import msgspec

from steelyard.kernel.errors import SteelyardError
from steelyard.plugins.registry import Registry
from steelyard.plugins.spec import PluginSpec
from steelyard.plugins.states import PluginState
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_import import PRINTED_CHARS_MAX, SLOW_IMPORT_S

PROBE_TIMEOUT_S = 10.0
OUTPUT_BYTES_MAX = 16 * 1024 * 1024


class Probe(msgspec.Struct, frozen=True):
    """What came of trying one plugin."""

    state: str
    why: str = ""
    seconds: float = 0.0
    printed: str = ""

    @property
    def notes(self) -> list[str]:
        """What an author should know, one sentence each."""
        found = []
        if self.seconds > SLOW_IMPORT_S:
            found.append(f"took {self.seconds:.1f} s to import")
        if self.printed.strip():
            first = self.printed.strip().partition("\n")[0][:60]
            found.append(f"printed on import: {first!r}")
        return found


def probe(spec: PluginSpec, *, timeout_s: float = PROBE_TIMEOUT_S) -> Probe:
    """Return whether `spec` imports and fits its port, tried in a child process.

    A child that does not answer within `timeout_s` is killed with everything it started.
    """
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-m", "steelyard.runtime.plugin_probe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environ,
        start_new_session=True,
    ) as child:
        try:
            answer, _ = child.communicate(msgspec.json.encode(spec), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            why = f"did not finish importing within {timeout_s:g} s and was killed"
            return Probe(PluginState.FAILED.value, why, timeout_s)
    try:
        return msgspec.json.decode(answer, type=Probe)
    except msgspec.DecodeError:
        why = f"ended the process while being imported (exit status {child.returncode})"
        return Probe(PluginState.FAILED.value, why)


def main() -> None:
    """Be the child."""
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=PluginSpec)
    resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX))
    answer = os.dup(1)
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        state, why, seconds = _try(spec)
        sys.stdout.flush()
        output.seek(0)
        printed = output.read(PRINTED_CHARS_MAX).decode(errors="replace")
    os.write(answer, msgspec.json.encode(Probe(state, why, seconds, printed)))
    # Threads that the plugin left behind must not keep us.
    os._exit(0)


def _try(spec: PluginSpec) -> tuple[str, str, float]:
    registry = Registry()
    # In place, not on a thread: the parent holds the clock here.
    registry.add(msgspec.structs.replace(spec, origin="builtin"))
    host = PluginHost(registry)
    started = time.perf_counter()
    try:
        host.validate(spec.kind, spec.name)
        seconds = time.perf_counter() - started
        if spec.config_schema is not None:
            host.check_schema(spec.kind, spec.name)
    except SteelyardError as error:
        return PluginState.FAILED.value, str(error), time.perf_counter() - started
    state = host.state(spec.kind, spec.name).value
    return state, host.why(spec.kind, spec.name), seconds


if __name__ == "__main__":
    main()
