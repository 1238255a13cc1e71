"""Section `remote`: how workers on other machines come into a run."""

from typing import Annotated

from pydantic import Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.section import Seconds, Section


class RemoteConfig(Section):
    """Where a run listens for workers of other machines; only run types that have such use it."""

    listen: Annotated[
        str,
        Flag(("--listen",), Groups.WORKERS, metavar="HOST:PORT"),
        Field(
            description="Address that workers on other machines connect to; port 0 takes any. "
            "Every connection needs the keys of the run."
        ),
    ] = "127.0.0.1:0"
    advertise: Annotated[
        str | None,
        Flag(("--advertise",), Groups.WORKERS, metavar="HOST[:PORT]"),
        Field(
            description="Address by which those workers reach it, where that is another one, as "
            "behind a load balancer."
        ),
    ] = None
    join_file: Annotated[
        str | None,
        Flag(("--join-file",), Groups.WORKERS, metavar="FILE"),
        Field(
            description="File that the join is written to, for `steelyard worker`; whoever has it "
            "is a worker of the run. worker.join in the artifact directory without it."
        ),
    ] = None
    join_timeout: Annotated[
        Seconds,
        Flag(("--join-timeout",), Groups.WORKERS, unit="s"),
        Field(gt=0, description="How long the run waits until all workers have joined."),
    ] = 300.0
