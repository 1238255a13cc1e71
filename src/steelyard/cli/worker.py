"""`steelyard worker`: send requests of a run that another machine began."""

import os
import sys
from typing import Annotated

from cyclopts import App, Parameter

from steelyard.kernel.errors import EXIT_OK, UsageError

_HELP = """Send requests of a run that another machine began.

The run, of --run-type remote, writes a join: whoever has it is a worker of that run. It is read \
from --join-file, from standard input (--join-file -) or from the variable STEELYARD_JOIN. The \
worker ends with the run.

For example, on the other machine:

  steelyard worker --join-file run.join --index 0
"""

app = App(name="worker", help=_HELP, help_format="plaintext")


@app.default
def worker(
    *,
    join_file: Annotated[str | None, Parameter(show_default=False)] = None,
    index: Annotated[int | None, Parameter(show_default=False)] = None,
    scratch: Annotated[str | None, Parameter(show_default=False)] = None,
    wait: Annotated[float, Parameter(show_default=False)] = 0.0,
) -> int:
    """Send requests of a run that another machine began.

    Args:
        join_file: File with the run's join, readable by its owner only; - for standard input.
        index: Which worker of the run this is, from 0; STEELYARD_WORKER_INDEX says it too.
        scratch: Directory for the worker's files; a temporary one without it.
        wait: Seconds to wait for a run that has not begun; without it, it must be there.
    """
    from steelyard.app.run_joining import find_join, join_run

    ended = join_run(find_join(join_file, index, os.environ), scratch, wait)
    if ended.code and ended.directory is not None:
        print(f"The worker's files are in {ended.directory}.", file=sys.stderr)
    return ended.code


@app.command
def secrets(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    workers: int,
    namespace: str = "default",
    address: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
) -> int:
    """Print new keys of a run as Secrets of Kubernetes, for `kubectl apply --server-side -f -`.

    What `steelyard profile --run-type k8s` wrote needs them; it says with which arguments. They are
    not shown on a terminal.

    Args:
        name: Name of the run in the cluster.
        workers: How many workers it has.
        namespace: Of its objects.
        address: tcp://HOST:PORT by which workers reach the controller; that of the run's Service
            without it. May be repeated.
    """
    from steelyard.app.kubernetes.plain import run_secrets
    from steelyard.app.kubernetes.writing import as_stream

    if workers < 1:
        raise UsageError("A run has a worker", got=workers, expected="--workers 1 or more")
    if sys.stdout.isatty():
        raise UsageError(
            "Keys are not shown on a terminal",
            next_step="Hand them on, with | kubectl apply --server-side -f -",
        )
    print(as_stream(run_secrets(name, namespace, workers, address)), end="")
    return EXIT_OK
