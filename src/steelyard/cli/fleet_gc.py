"""`steelyard fleet gc`: remove what a fleet keeps no longer; and the flags that say how long."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from steelyard.cli.fleet_reach import ANYWHERE, JsonFlag, Reach, print_json
from steelyard.kernel.errors import UsageError

if TYPE_CHECKING:
    from steelyard.runtime.fleet.retention import Retention


def _flag(name: str, text: str) -> Any:
    return Parameter(name=name, negative="", help=text)


@Parameter(name="*")
@dataclass(frozen=True)
class Keep:
    """How long what is over is kept; 0 keeps for ever."""

    days: Annotated[
        float, _flag("--keep-days", "Days that tasks are remembered after their end, and the "
                     "journal is kept; 0 for ever.")
    ] = 90.0  # fmt: skip
    output_days: Annotated[
        float, _flag("--keep-output-days", "Days that what they wrote is kept; 0 for ever.")
    ] = 30.0
    output_gb: Annotated[
        float, _flag("--keep-output-gb", "GB of that, the longest ended go first; 0 for any.")
    ] = 50.0
    journal_gb: Annotated[float, _flag("--keep-journal-gb", "GB of the journal; 0 for any.")] = 5.0

    def retention(self) -> "Retention":
        """Return the setting.

        Raises:
            UsageError: one is below 0, or no number.
        """
        from steelyard.runtime.fleet.retention import Retention

        given = asdict(self)
        for name, value in given.items():
            if not 0 <= value < float("inf"):
                flag = f"--keep-{name.replace('_', '-')}"
                raise UsageError(f"{flag} can't be used", got=value, expected="0 or more")
        return Retention(**given)


def gc(
    *,
    dry_run: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> None:
    """Remove what is kept no longer: outputs of tasks, ended tasks themselves, the journal.

    The coordinator does so by itself now and then; how long what is kept is up to `serve`
    (--keep-days, --keep-output-days, --keep-output-gb, --keep-journal-gb). Nothing of a task that
    has not ended is removed. Only an admin may.

    Args:
        dry_run: Only say what would be removed.
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        found = client.gc(dry_run=dry_run)
    if as_json:
        print_json(found)
    else:
        print(gc_page(found))


def gc_page(found: dict[str, Any]) -> str:
    """Return what was removed, a line for each sort."""
    verb = "Would remove" if found["dry_run"] else "Removed"
    lines = [
        f"{verb} the outputs of {found['outputs']:,} tasks, {found['output_bytes']:,} bytes",
        f"{verb} {found['tasks']:,} ended tasks and {found['workers']:,} workers from the ledger",
        f"{verb} {found['journal_parts']:,} parts of the journal, {found['journal_bytes']:,} bytes",
    ]
    if found.get("node_outputs"):
        size = f"{found['node_bytes']:,} bytes"
        lines.insert(1, f"{verb} the outputs of {found['node_outputs']:,} tasks on nodes, {size}")
    if found.get("worker_log_bytes"):
        lines.append(f"{verb} logs of workers, {found['worker_log_bytes']:,} bytes")
    if found.get("unreached"):
        names = ", ".join(found["unreached"])
        lines.append(f"Not reached: {names}; what is over there goes when it is back")
    if found["left"]:
        lines.append(f"Could not remove {found['left']:,} directories: see who owns their files")
    return "\n".join(lines)
