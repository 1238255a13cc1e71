"""`steelyard worker`: send requests of a run that another machine began."""

import os
import sys
from typing import Annotated

from cyclopts import App, Parameter

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
) -> int:
    """Send requests of a run that another machine began.

    Args:
        join_file: File with the run's join, readable by its owner only; - for standard input.
        index: Which worker of the run this is, from 0; STEELYARD_WORKER_INDEX says it too.
        scratch: Directory for the worker's files; a temporary one without it.
    """
    from steelyard.app.joining import find_join, join_run

    ended = join_run(find_join(join_file, index, os.environ), scratch)
    if ended.code and ended.directory is not None:
        print(f"The worker's files are in {ended.directory}.", file=sys.stderr)
    return ended.code
