"""What an engine of the fleet runs to place a worker of a run: the same as `steelyard worker`."""

import os

from steelyard.app.run_joining import find_join, join_run
from steelyard.kernel.errors import SteelyardError

FUNCTION = "steelyard.app.placed_worker:take_place"


def take_place() -> None:
    """Be the worker whose join is in the environment, until its run is over.

    Raises:
        SteelyardError: there is no join, the run refuses it or can't be reached, or the worker
            ended before the run.
    """
    ended = join_run(find_join(None, None, os.environ))
    if ended.code:
        where = f"; its files are in {ended.directory}" if ended.directory is not None else ""
        raise SteelyardError(f"the worker ended with exit code {ended.code}{where}")
