"""Section `track`: which trackers are told of a run, and how it is called there."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from steelyard.app.config.flag import Flag, Groups
from steelyard.app.config.parsing import parse_tags, split_list
from steelyard.app.config.section import Section


class TrackConfig(Section):
    """Trackers of a run; without a backend nothing is tracked."""

    backends: Annotated[
        tuple[str, ...],
        BeforeValidator(split_list),
        Flag(("--track",), Groups.TRACK, metavar="NAMES"),
        Field(
            description="Backends that are told of the run, while it goes on and after it, such as "
            "`mlflow,wandb`; `local` keeps it in the store of runs and tells nobody. `steelyard "
            "plugins --kind backend` lists them."
        ),
    ] = ()
    options: Annotated[
        dict[str, dict[str, Any]],
        Field(
            description="Options by backend, checked against its own schema; a secret is written "
            "`${NAME}`. An option `plugin` names the backend where the key is only a label."
        ),
    ] = Field(default_factory=dict)
    project: Annotated[
        str,
        Flag(("--track-project",), Groups.TRACK, metavar="NAME"),
        Field(min_length=1, max_length=500, description="What the run belongs to in trackers."),
    ] = "bench"
    name: Annotated[
        str | None,
        Flag(("--track-name",), Groups.TRACK, metavar="NAME"),
        Field(
            max_length=500,
            description="Name of the run in trackers; endpoint and models without it.",
        ),
    ] = None
    tags: Annotated[
        dict[str, str],
        BeforeValidator(parse_tags),
        Flag(("--track-tag",), Groups.TRACK, metavar="KEY:VALUE"),
        Field(description="Tags of the run in trackers."),
    ] = Field(default_factory=dict)
    directory: Annotated[
        str | None,
        Flag(("--track-dir",), Groups.TRACK, metavar="DIR"),
        Field(description="The store of runs; `.steelyard` without it."),
    ] = None
    routing: Annotated[
        tuple[dict[str, Any], ...],
        Field(description="Rules on which backend is told what: to, source, type, name."),
    ] = ()
    artifacts: Annotated[
        tuple[str, ...],
        BeforeValidator(split_list),
        Field(description="Patterns of the run's files that become artifacts; none: []."),
    ] = ("*",)
