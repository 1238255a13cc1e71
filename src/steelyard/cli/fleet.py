"""`steelyard fleet`: serve a fleet; submit tasks to it, look at them, and steer it."""

import json
import sys
from http import HTTPStatus
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from steelyard.app.fleet.client import Client
from steelyard.cli.fleet_gc import gc
from steelyard.cli.fleet_join import join
from steelyard.cli.fleet_keys import app as keys
from steelyard.cli.fleet_pages import (
    schedulers_page,
    task_page,
    tasks_page,
    why_page,
    workers_page,
)
from steelyard.cli.fleet_reach import (
    ANYWHERE,
    JsonFlag,
    Reach,
    json_values,
    pairs,
    print_json,
    print_list,
    say,
)
from steelyard.cli.fleet_replay import replay
from steelyard.cli.fleet_serve import serve
from steelyard.cli.fleet_submit import app as submit
from steelyard.kernel.errors import EXIT_OK, SteelyardError, UsageError
from steelyard.runtime.fleet.service_http import ServiceRefusedError

_HELP = """Run tasks on machines that fit them: benchmarks, test suites, programs, functions.

A first session, in two terminals:

  steelyard fleet serve                        this machine is coordinator and worker

  steelyard fleet submit -- echo hello         a task; prints its id

  steelyard fleet list                         what became of it

  steelyard fleet logs -f ID                   what it writes, as it does

  steelyard fleet why ID                       what it waits for

`serve` prints a key once and keeps it in .steelyard/fleet/client.json, which only you can read; \
commands in the same directory use it. Elsewhere, set STEELYARD_FLEET_URL and STEELYARD_FLEET_KEY.
"""

app = App(name="fleet", help=_HELP, help_format="plaintext")
app.command(serve)
app.command(submit)
app.command(join)
app.command(keys)
app.command(replay)
app.command(gc)
TaskWord = Annotated[str, Parameter(name="TASK")]
State = Literal[
    "pending", "leased", "running", "completed", "failed", "cancelled", "dead-letter"
]  # fmt: skip


@app.command(name="list")
def list_tasks(  # noqa: PLR0913  each is a flag
    *,
    state: Annotated[tuple[State, ...], Parameter(negative="", show_default=False)] = (),
    user: str | None = None,
    project: str | None = None,
    kind: str | None = None,
    worker: str | None = None,
    limit: int = 50,
    after: str | None = None,
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> None:
    """List tasks, the latest first.

    With --json they have no payload and no result: `steelyard fleet show` prints these.

    Args:
        state: Only those. May be repeated.
        user: Only this user's.
        project: Only this project's.
        kind: Only this kind, such as command.
        worker: Only what this worker holds or held last.
        limit: At most so many.
        after: Go on after a page, with the word that it ended with.
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        found, following = client.tasks(
            limit=limit, after=after or "", state=state, user=user, project=project, kind=kind,
            worker_id=worker,
        )  # fmt: skip
    if as_json:
        print_json({"items": list(found), "next": following})
        return
    print(tasks_page(found))
    if following:
        say(f"There are more: --after {following}")


@app.command
def show(task_id: TaskWord, /, *, as_json: JsonFlag = False, reach: Reach = ANYWHERE) -> None:
    """Show all that is known of TASK: what it is, how it stands, its result, its attempts.

    Args:
        task_id: Its id.
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        task, attempts = client.task(task_id), client.attempts(task_id)
    if as_json:
        print_json({**task, "attempts": list(attempts)})
    else:
        print(task_page(task, attempts))


@app.command
def why(task_id: TaskWord, /, *, as_json: JsonFlag = False, reach: Reach = ANYWHERE) -> None:
    """Say why TASK is where it is: what it waits for, or what each worker lacks; and who decided.

    Args:
        task_id: Its id.
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        task = client.task(task_id)
        reasons, decisions = client.why(task_id), client.decisions(task_id)
    if as_json:
        state = {"task_id": task_id, "state": task["state"]}
        print_json({**state, "reasons": list(reasons), "decisions": list(decisions)})
        return
    print(why_page(task, reasons, decisions))


@app.command
def logs(
    task_id: TaskWord,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=("--follow", "-f"), negative="", show_default=False)
    ] = False,
    stderr: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    attempt: Annotated[int, Parameter(show_default=False)] = 0,
    reach: Reach = ANYWHERE,
) -> None:
    """Print what TASK wrote.

    Args:
        task_id: Its id.
        follow: Go on until it has ended, over all its attempts.
        stderr: What it wrote to stderr, not stdout.
        attempt: Of this attempt, from 1; the last without it.
        reach: Where the service is.
    """
    stream = "stderr" if stderr else "stdout"
    with reach.client() as client:
        task = _seen(client, task_id)
        made = attempt if task is None else task["attempt"]
        if not 0 <= attempt <= made:
            raise UsageError("There is no such attempt", got=attempt, expected=f"at most {made}")
        if follow and task is not None and task["state"] in ("pending", "leased"):
            say(f"It is {task['state']}; why: steelyard fleet why {task_id}")
        is_silent = True
        for text in client.logs(task_id, stream, attempt=attempt, follow=follow):
            is_silent = False
            sys.stdout.write(text)
            sys.stdout.flush()
    if is_silent:
        say(f"Nothing was written to {stream}." + ("" if stderr else " See also: --stderr"))


def _seen(client: Client, task_id: str) -> dict[str, Any] | None:
    """Return a task; None when the key may not look at tasks, which logs do without."""
    try:
        return client.task(task_id)
    except ServiceRefusedError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        return None


@app.command
def cancel(
    *task_ids: TaskWord, reason: str = "", as_json: JsonFlag = False, reach: Reach = ANYWHERE
) -> int:
    """End tasks, wherever they stand; one that can't be ended keeps no other from it.

    Args:
        task_ids: Their ids.
        reason: What is remembered with them.
        as_json: Print JSON.
        reach: Where the service is.
    """
    if not task_ids:
        raise UsageError("Say which task", next_step="See: steelyard fleet list")
    code, ended = EXIT_OK, []
    with reach.client() as client:
        for task_id in task_ids:
            try:
                client.cancel(task_id, reason)
            except SteelyardError as error:
                if len(task_ids) == 1:
                    raise
                code = error.exit_code
                say(f"error: {error}")
                continue
            ended.append({"task_id": task_id})
            if not as_json:
                print(f"Cancelled {task_id}")
    if as_json:
        print_json(ended)
    return code


@app.command
def workers(*, as_json: JsonFlag = False, reach: Reach = ANYWHERE) -> None:
    """List workers: what they have, what they hold, when they were heard.

    Args:
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        found = client.workers()
    print_list(found, workers_page, as_json=as_json)


@app.command
def drain(
    worker_id: Annotated[str, Parameter(name="WORKER")],
    /,
    *,
    undo: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> None:
    """Have WORKER finish what it has and take nothing more.

    Args:
        worker_id: Its id, as `workers` shows it.
        undo: Have it take tasks again.
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        client.drain(worker_id, on=not undo)
    if as_json:
        print_json({"worker_id": worker_id, "draining": not undo})
        return
    print(f"{worker_id} takes tasks again" if undo else f"{worker_id} takes nothing more")


@app.command
def schedulers(
    *,
    use: str | None = None,
    option: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> None:
    """List schedulers; choose another, which takes over at once.

    Args:
        use: Name of the scheduler that is to choose from now on.
        option: An option of it: KEY=VALUE, the value in JSON or a text. May be repeated.
        as_json: Print JSON.
        reach: Where the service is.
    """
    if option and use is None:
        raise UsageError("--option needs --use", got=" ".join(option))
    with reach.client() as client:
        if use is not None:
            client.use_scheduler(use, **json_values(pairs(option, "--option")))
        found = client.schedulers()
    print_list(found, schedulers_page, as_json=as_json)


@app.command
def events(
    *,
    after: int | None = None,
    task: str = "",
    reach: Reach = ANYWHERE,
) -> None:
    """Print what happens, as it does, a line of JSON each, until Ctrl-C.

    Args:
        after: Begin after the event of this number (`seq`), 0 for all; with what is new without it.
        task: Only what happens to this task.
        reach: Where the service is.
    """
    with reach.client() as client:
        if task:
            _seen(client, task)  # of a task that is not there nothing would ever be told
        for event in client.events(after, task_id=task):
            print(json.dumps(event, ensure_ascii=False), flush=True)
