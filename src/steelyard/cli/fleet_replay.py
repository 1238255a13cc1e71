"""`steelyard fleet replay`: the queue once more, under other schedulers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from cyclopts import Parameter

from steelyard.cli.fleet_reach import ANYWHERE, JsonFlag, Reach, print_json, say
from steelyard.cli.track_pages import plain_table
from steelyard.kernel.errors import FileError, UsageError

if TYPE_CHECKING:
    from steelyard.app.fleet.replaying import Replayed

SHOWN_MAX = 10
_COLUMNS = {
    "makespan_s": "MAKESPAN S", "wait_s": "WAIT S", "urgent_wait_s": "URGENT WAIT S",
    "missed": "LATE", "energy_kj": "ENERGY KJ", "share_deviation": "UNFAIR SHARES",
    "load_deviation": "UNEVEN LOAD",
}  # fmt: skip


def replay(
    *,
    under: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    project: str | None = None,
    limit: int = 500,
    file: Annotated[Path | None, Parameter(show_default=False)] = None,
    save: Annotated[Path | None, Parameter(show_default=False)] = None,
    plugin_dir: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> None:
    """Play the fleet's latest tasks on a virtual clock under other schedulers, and compare.

    Tasks take as long as they took, or as their authors thought. The fleet itself is only read;
    the schedulers run here. Less is better in every column.

    Args:
        under: Name of a scheduler; the first is what others are compared with. May be repeated;
            without it, the fleet's own and all others.
        project: Only this project's tasks.
        limit: So many tasks, the latest.
        file: A recording that --save wrote, instead of a fleet.
        save: Keep the recording in this file.
        plugin_dir: Look for schedulers here too. May be repeated.
        as_json: Print JSON.
        reach: Where the service is.
    """
    from steelyard.app.composition import standard_host
    from steelyard.app.fleet.replaying import read_recording
    from steelyard.app.fleet.replaying import replay as play_again
    from steelyard.runtime.files import write_atomic

    active = ""
    if file is not None:
        try:
            data = file.read_bytes()
        except OSError as error:
            raise FileError(f"Can't read {file}: {error.strerror}") from error
    else:
        with reach.client() as client:
            data = msgspec.json.encode(client.recording(project=project or "", limit=limit))
            active = next((s["name"] for s in client.schedulers() if s["active"]), "")
    recording = read_recording(data)
    if save is not None:
        write_atomic(save, data)
    host = standard_host(plugin_dir)
    names = list(under) or sorted(host.names("scheduler"), key=lambda name: name != active)
    if limit < 1:
        raise UsageError("--limit takes a number of tasks", got=limit)
    say(f"{_count(len(recording.jobs), 'task')} on {_count(len(recording.hosts), 'worker')}, under "
        f"{_count(len(names), 'scheduler')} ...")  # fmt: skip
    found = play_again(recording, names, host)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    rows = [_row(each) for each in found]
    print(plain_table(["SCHEDULER", *_COLUMNS.values(), "UNSERVED"], rows))
    if len(under) > 1:
        for each in found[1:]:
            print(f"\nWhat {each.scheduler} does otherwise than {found[0].scheduler}:")
            for line in each.otherwise[:SHOWN_MAX] or ("nothing.",):
                print(f"  {line}")
            if len(each.otherwise) > SHOWN_MAX:
                print(f"  and {len(each.otherwise) - SHOWN_MAX} more tasks")


def _row(each: "Replayed") -> list[Any]:
    """Return a line of the table; who got no worker is counted in the last column alone."""
    numbers = {**each.objectives, "missed": each.objectives["missed"] - each.unserved}
    return [each.scheduler, *(_number(numbers[field]) for field in _COLUMNS), each.unserved]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _number(value: float) -> float:
    return round(value, 3)
