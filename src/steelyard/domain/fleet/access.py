"""Who may do what at a fleet's service: roles, permissions and keys.

A key has a role; it may be narrowed to some of the role's permissions and to some projects. What
no rule allows is refused.
"""

import re
from enum import StrEnum

import msgspec

TOKEN_PREFIX = "sty_"  # noqa: S105  what every token begins with
_TOKEN = re.compile(r"sty_(?P<key_id>[a-z2-7]{12})_(?P<secret>[A-Za-z0-9_-]{43})")


class Permission(StrEnum):
    """One thing that a key may allow."""

    TASKS_SUBMIT = "tasks:submit"
    TASKS_READ = "tasks:read"
    TASKS_CANCEL = "tasks:cancel"
    LOGS_READ = "logs:read"
    WORKERS_READ = "workers:read"
    WORKERS_DRAIN = "workers:drain"
    SCHEDULERS_READ = "schedulers:read"
    SCHEDULERS_SET = "schedulers:set"
    EVENTS_READ = "events:read"
    METRICS_READ = "metrics:read"
    KEYS_MANAGE = "keys:manage"
    FLEET_TIDY = "fleet:tidy"


class Role(StrEnum):
    """What a key is for.

    `admin` may do everything. `submitter` submits, cancels its own tasks and looks at all of its
    projects. `reader` looks. `worker` sees workers and drains the one that it is named after.
    """

    ADMIN = "admin"
    SUBMITTER = "submitter"
    READER = "reader"
    WORKER = "worker"


_READS = frozenset({
    Permission.TASKS_READ, Permission.LOGS_READ, Permission.WORKERS_READ,
    Permission.SCHEDULERS_READ, Permission.EVENTS_READ, Permission.METRICS_READ,
})  # fmt: skip
ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.SUBMITTER: _READS | {Permission.TASKS_SUBMIT, Permission.TASKS_CANCEL},
    Role.READER: _READS,
    Role.WORKER: frozenset({Permission.WORKERS_READ, Permission.WORKERS_DRAIN}),
}

FLEET_WIDE = frozenset({
    Permission.WORKERS_DRAIN, Permission.SCHEDULERS_SET, Permission.FLEET_TIDY,
})  # fmt: skip
"""What changes the fleet for every project: no key that is narrowed to projects has it."""


class AccessKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key without its secret.

    Attributes:
        key_id: public; part of the token.
        name: what its owner calls it; of a worker's key, the worker's id.
        user: whom its tasks are booked to.
        scopes: of its role's permissions, the only ones it has; all when empty.
        projects: the only ones it sees and submits to; all when empty. A key that has some changes
            nothing that is everybody's (`FLEET_WIDE`).
        expires_ns, revoked_ns: Unix time from which on it is refused, 0 for never.
    """

    key_id: str
    name: str
    role: Role
    user: str = ""
    scopes: tuple[Permission, ...] = ()
    projects: tuple[str, ...] = ()
    created_ns: int = 0
    expires_ns: int = 0
    revoked_ns: int = 0

    @property
    def permissions(self) -> frozenset[Permission]:
        """All that it allows: never more than its role."""
        return self._granted - FLEET_WIDE if self.projects else self._granted

    @property
    def _granted(self) -> frozenset[Permission]:
        """What role and scopes allow, projects aside."""
        granted = ROLE_PERMISSIONS[self.role]
        return granted & frozenset(self.scopes) if self.scopes else granted

    def lacks_for_projects(self, permission: Permission) -> bool:
        """Tell whether it would allow this, were it not narrowed to projects."""
        return permission in self._granted and permission not in self.permissions

    def is_valid(self, now_ns: int) -> bool:
        """Tell whether it is neither revoked nor past its time."""
        is_over = 0 < self.expires_ns <= now_ns
        return not is_over and not 0 < self.revoked_ns <= now_ns

    def rules(self, now_ns: int) -> bool:
        """Tell whether it may do everything, in all projects."""
        is_whole = not self.scopes and not self.projects
        return self.role is Role.ADMIN and is_whole and self.is_valid(now_ns)

    def covers(self, other: "AccessKey") -> bool:
        """Tell whether another key allows nothing that this one does not, in no other project."""
        return other.permissions <= self.permissions and self.covers_projects(other)

    def covers_projects(self, other: "AccessKey") -> bool:
        """Tell whether another key is for no other project than this one is."""
        return not self.projects or (
            bool(other.projects) and set(other.projects) <= set(self.projects)
        )

    def outlives(self, other: "AccessKey") -> bool:
        """Tell whether it is valid when another key no longer is, as far as time ends them."""
        return bool(other.expires_ns) and not 0 < self.expires_ns <= other.expires_ns

    def sees(self, project: str) -> bool:
        """Tell whether tasks of a project are any of its business."""
        return not self.projects or project in self.projects

    def may_cancel(self, owner: str) -> bool:
        """Tell whether it may end a task of this user; the permission aside."""
        return self.role is Role.ADMIN or self.user == owner

    def may_drain(self, worker_id: str) -> bool:
        """Tell whether it may drain this worker; the permission aside."""
        return self.role is Role.ADMIN or self.name == worker_id


def token_of(key_id: str, secret: str) -> str:
    """Return what its owner shows: `sty_ID_SECRET`."""
    return f"{TOKEN_PREFIX}{key_id}_{secret}"


def parse_token(text: str) -> tuple[str, str] | None:
    """Return key id and secret of a token, None when it is not shaped like one."""
    match = _TOKEN.fullmatch(text)
    return (match["key_id"], match["secret"]) if match else None


def bearer_of(header: str) -> str | None:
    """Return the token of an `Authorization` header of the scheme Bearer (RFC 6750)."""
    scheme, _, token = header.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
