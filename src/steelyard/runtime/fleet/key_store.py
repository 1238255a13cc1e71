"""The keys of a fleet's service: kept hashed, in the ledger's database, shown once.

A secret is 256 random bits, so its scrypt hash only has to be slow enough to make a stolen database
useless (RFC 7914). A token that was right once is recognised by a digest under a key of this
process, so a busy client costs no scrypt a request.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence

import msgspec
from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    select,
    text,
    update,
)

from steelyard.domain.fleet.access import AccessKey, Permission, Role, parse_token, token_of
from steelyard.kernel.clock import Clock
from steelyard.kernel.errors import UsageError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.ledger_database import Database

KEYS_MAX = 10_000
FRESH_S = 2.0
"""How long another coordinator's revocation may take to be heard of."""

_LOCK = 0x5354_4B45_5953  # an advisory lock of PostgreSQL
_RECOGNISED_MAX = 10_000
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
_METADATA = MetaData()
_KEYS = Table(
    "fleet_keys",
    _METADATA,
    Column("key_id", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)


class _Kept(msgspec.Struct, frozen=True):
    key: AccessKey
    salt: bytes
    hash: bytes


class KeyStore:
    """Makes, lists, revokes and recognises keys. May be called from several threads.

    Args:
        database: the ledger's, which must have its tables.
        clock: for when keys were made and end.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Kept] = {}
        self._read_ns = 0
        self._changes = 0
        self._pepper = secrets.token_bytes(32)
        self._recognised: dict[bytes, str] = {}
        database.write(_make_table)

    def create(
        self,
        name: str,
        role: Role,
        *,
        user: str = "",
        scopes: Sequence[Permission] = (),
        projects: Sequence[str] = (),
        days: float = 0.0,
        ends_by_ns: int = 0,
    ) -> tuple[AccessKey, str]:
        """Make a key; return it with its token, which nobody can be shown again.

        Args:
            name: of a worker's key, the worker's id.
            role: the most that it may do.
            scopes: of the role's permissions, the only ones; all without any.
            projects: the only ones it is for; all without any.
            user: whom its tasks are booked to; `name` without it.
            days: how long it is valid, 0 for ever.
            ends_by_ns: Unix time at which it ends at the latest, as its maker's key does; 0 for
                none.

        Raises:
            UsageError: there are as many valid keys as there may be of all.
        """
        now_ns = self._clock.wall_ns()
        expires_ns = expiry_ns(now_ns, days)
        if ends_by_ns:
            expires_ns = min(expires_ns or ends_by_ns, ends_by_ns)
        key = AccessKey(
            key_id=base64.b32encode(secrets.token_bytes(8)).decode().lower()[:12],
            name=name, role=role, user=user or name, scopes=tuple(scopes),
            projects=tuple(projects), created_ns=now_ns, expires_ns=expires_ns,
        )  # fmt: skip
        secret, salt = secrets.token_urlsafe(32), secrets.token_bytes(16)
        row = {
            "key_id": key.key_id, "data": msgspec.msgpack.encode(key), "salt": salt,
            "hash": _hash(secret, salt),
        }  # fmt: skip
        self._make_room(now_ns)
        self._database.write(lambda connection: connection.execute(insert(_KEYS).values(**row)))
        self._forget()
        return key, token_of(key.key_id, secret)

    def all_keys(self) -> tuple[AccessKey, ...]:
        """Return all keys, revoked ones too, the oldest first."""
        found = (kept.key for kept in self._all(fresh_s=0).values())
        return tuple(sorted(found, key=lambda key: (key.created_ns, key.key_id)))

    def revoke(self, key_id: str) -> AccessKey:
        """Have a key be refused from now on; one that was revoked before stays as it is.

        Raises:
            KeyError: there is no such key.
            UsageError: no key would be left that may manage keys.
        """
        kept = self._all(fresh_s=0)
        key, now_ns = kept[key_id].key, self._clock.wall_ns()
        others = (each.key for name, each in kept.items() if name != key_id)
        if key.rules(now_ns) and not any(each.rules(now_ns) for each in others):
            raise UsageError(
                "This is the last admin's key", got=key_id,
                next_step="Make another first: steelyard fleet keys create NAME --role admin",
            )  # fmt: skip
        if not key.revoked_ns:
            key = msgspec.structs.replace(key, revoked_ns=now_ns)
            changed = update(_KEYS).where(_KEYS.c.key_id == key_id)
            data = msgspec.msgpack.encode(key)
            self._database.write(lambda connection: connection.execute(changed.values(data=data)))
            self._forget()
        return key

    def recognise(self, token: str) -> AccessKey | None:
        """Return the valid key that a token belongs to, None for every other text."""
        parsed = parse_token(token)
        if parsed is None:
            return None
        key_id, secret = parsed
        kept = self._all().get(key_id)
        if kept is None or not kept.key.is_valid(self._clock.wall_ns()):
            return None
        digest = hmac.digest(self._pepper, token.encode(), "sha256")
        if self._recognised.get(digest) == key_id:
            return kept.key
        if not hmac.compare_digest(_hash(secret, kept.salt), kept.hash):
            return None
        with self._lock:
            if len(self._recognised) >= _RECOGNISED_MAX:
                self._recognised.clear()
            self._recognised[digest] = key_id
        return kept.key

    def is_valid(self, key_id: str) -> bool:
        """Tell whether a key is there and neither revoked nor past its time."""
        kept = self._all().get(key_id)
        return kept is not None and kept.key.is_valid(self._clock.wall_ns())

    def is_known(self, token: str) -> bool:
        """Tell whether a token was right once: who shows it guesses nothing, and costs no hash.

        A key that is known to have been revoked, or to be past its time, is none any more. The
        database is not asked.
        """
        digest = hmac.digest(self._pepper, token.encode("utf-8", "replace"), "sha256")
        kept = self._kept.get(self._recognised.get(digest, ""))
        return kept is not None and kept.key.is_valid(self._clock.wall_ns())

    def is_quick(self, token: str) -> bool:
        """Tell whether `recognise` answers without a hash and without the database."""
        return self.is_known(token) and self._is_fresh(FRESH_S)

    def _make_room(self, now_ns: int) -> None:
        """Forget the oldest keys that are revoked or past their time, where there are too many."""
        kept = [each.key for each in self._all(fresh_s=0).values()]
        over = len(kept) - KEYS_MAX + 1
        if over <= 0:
            return
        ended = sorted((key.created_ns, key.key_id) for key in kept if not key.is_valid(now_ns))
        if not ended:
            raise UsageError("There are too many keys", got=KEYS_MAX, next_step="Revoke some.")
        names = [key_id for _, key_id in ended[:over]]
        gone = delete(_KEYS).where(_KEYS.c.key_id.in_(names))
        self._database.write(lambda connection: connection.execute(gone))

    def _is_fresh(self, fresh_s: float) -> bool:
        age_ns = self._clock.mono_ns() - self._read_ns
        return bool(self._read_ns) and age_ns < fresh_s * NS_PER_S

    def _all(self, fresh_s: float = FRESH_S) -> dict[str, _Kept]:
        while not self._is_fresh(fresh_s):
            changes, begun_ns = self._changes, self._clock.mono_ns()
            kept = self._database.read(_read)
            with self._lock:
                if changes == self._changes:  # else what was read may be from before a change
                    self._kept, self._read_ns = kept, begun_ns
                    break
        return self._kept

    def _forget(self) -> None:
        with self._lock:
            self._read_ns = 0
            self._changes += 1


def expiry_ns(now_ns: int, days: float) -> int:
    """Return when a key ends that is made now for this many days, as Unix time; 0 for never."""
    return now_ns + int(days * 86_400 * NS_PER_S) if days else 0


def _make_table(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # two coordinators may start at once
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    _METADATA.create_all(connection, checkfirst=True)


def _read(connection: Connection) -> dict[str, _Kept]:
    return {
        row.key_id: _Kept(msgspec.msgpack.decode(row.data, type=AccessKey), row.salt, row.hash)
        for row in connection.execute(select(_KEYS))
    }


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, **_SCRYPT)
