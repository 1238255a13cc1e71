"""`steelyard fleet keys`: make, list and revoke the keys of a fleet's service."""

import math
from typing import Annotated, Literal

from cyclopts import App, Parameter

from steelyard.cli.fleet_pages import keys_page
from steelyard.cli.fleet_reach import ANYWHERE, JsonFlag, Reach, print_json, print_list, say
from steelyard.domain.fleet.access import Permission
from steelyard.kernel.errors import UsageError, did_you_mean

_HELP = """Make, list and revoke the keys of a fleet's service; only an admin may.

A key has a role: `submitter` submits tasks, cancels its own and looks; `reader` looks; `worker` \
drains the worker it is named after; `admin` may do everything. It can be narrowed further, to \
projects, to some permissions, or to a number of days. Its token is shown once, when it is made: \
the service keeps a hash.

For example:

  steelyard fleet keys create ann --role submitter --project speech --days 90

  steelyard fleet keys list

  steelyard fleet keys revoke dmbkpwrmofzy
"""

app = App(name="keys", help=_HELP, help_format="plaintext")
Several = Annotated[tuple[str, ...], Parameter(negative="", show_default=False)]


@app.command
def create(
    name: Annotated[str, Parameter(name="NAME")],
    /,
    *,
    role: Literal["admin", "submitter", "reader", "worker"] = "submitter",
    user: str | None = None,
    project: Several = (),
    scope: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            show_default=False,
            help="Only this permission of its role. May be repeated. One of "
            f"{', '.join(Permission)}.",
        ),
    ] = (),
    days: float = 0.0,
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> None:
    """Make a key and print its token, this once.

    Args:
        name: What it is called; of a worker's key, the worker's id.
        role: The most that it may do.
        user: Whom its tasks are booked to; NAME without it.
        project: Only for this project. May be repeated.
        scope: Only this permission of its role.
        days: How long it is valid; 0 for ever.
        as_json: Print JSON.
        reach: Where the service is.
    """
    for word in scope:
        if word not in set(Permission):
            raise UsageError(
                "There is no such permission", got=word, expected=", ".join(Permission),
                next_step=did_you_mean(word, Permission) or None,
            )  # fmt: skip
    if not 0 <= days < math.inf:
        raise UsageError("--days takes a number of days", got=days, expected="0 for ever, or more")
    with reach.client() as client:
        made = client.create_key(
            name, role, user=user or "", projects=list(project), scopes=list(scope), days=days
        )
    if as_json:
        print_json(made)
        return
    print(made["token"])
    say("It is not shown again. Its owner puts it into STEELYARD_FLEET_KEY.")


@app.command(name="list")
def list_keys(*, as_json: JsonFlag = False, reach: Reach = ANYWHERE) -> None:
    """List all keys, revoked ones too; secrets are not known to anybody.

    Args:
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        found = client.keys()
    print_list(found, keys_page, as_json=as_json)


@app.command
def revoke(
    key_id: Annotated[str, Parameter(name="KEY")],
    /,
    *,
    as_json: JsonFlag = False,
    reach: Reach = ANYWHERE,
) -> None:
    """Have KEY be refused from now on.

    Args:
        key_id: Its id, as `keys list` shows it.
        as_json: Print JSON.
        reach: Where the service is.
    """
    with reach.client() as client:
        key = client.revoke_key(key_id)
    if as_json:
        print_json(key)
    else:
        print(f"Revoked {key['key_id']} ({key['name']})")
