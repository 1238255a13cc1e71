"""Section `engine`: which machines the run type `ray` places its workers on."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import parse_extra_inputs, parse_tags
from steelyard.app.config.section import Section


class EngineConfig(Section):
    """The engine that places workers; of other run types nothing here is looked at."""

    name: Annotated[
        str, Field(description="Name of an engine plugin: what `steelyard fleet serve` uses too.")
    ] = "ray"
    address: Annotated[
        str,
        Flag(("--ray-address",), Groups.WORKERS, metavar="HOST:PORT"),
        Field(
            description="Address of the cluster's head, as `steelyard fleet join` prints it; that "
            "in RAY_ADDRESS without it."
        ),
    ] = ""
    options: Annotated[
        dict[str, Any],
        BeforeValidator(parse_extra_inputs),
        Flag(("--engine-option",), Groups.WORKERS, metavar="KEY=VALUE"),
        Field(
            description="Options of the engine, such as `token_path=FILE`; `steelyard plugins "
            "--kind engine` shows them."
        ),
    ] = Field(default_factory=dict)
    labels: Annotated[
        dict[str, str],
        BeforeValidator(parse_tags),
        Flag(("--worker-label",), Groups.WORKERS, metavar="KEY=VALUE"),
        Field(description="Labels that a machine must have to be given workers."),
    ] = Field(default_factory=dict)
