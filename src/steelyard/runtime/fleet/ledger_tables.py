"""The tables of a ledger as they are today; how they came to be is in `ledger_migrations`.

What is looked for has a column; the whole task, worker or outcome is in `data`, as MessagePack.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
)

METADATA = MetaData()
_SEQ = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts by itself in INTEGER only

SCHEMA = Table(
    "fleet_schema",
    METADATA,
    Column("version", Integer, primary_key=True),
    Column("applied_ns", BigInteger, nullable=False),
    Column("applied_by", Text, nullable=False),
)
LEADER = Table(
    "fleet_leader",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("home", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("ttl_ms", BigInteger, nullable=False),
    Column("renewals", BigInteger, nullable=False),
    Column("commits", BigInteger, nullable=False),
    Column("next_token", BigInteger, nullable=False),
)
"""One row. `epoch` counts leaders, `commits` the changes of all of them, `renewals` signs of life;
`home` is the leader's process, `session` what its connections are called."""

TASKS = Table(
    "fleet_tasks",
    METADATA,
    Column("task_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("user_name", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", BigInteger, nullable=False),
    Column("submitted_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
WORKERS = Table(
    "fleet_workers",
    METADATA,
    Column("worker_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("heard_ns", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
ATTEMPTS = Table(
    "fleet_attempts",
    METADATA,
    Column("task_id", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("worker_id", Text, nullable=False),
    Column("ending", Text, nullable=False),
    Column("ended_ns", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
DECISIONS = Table(
    "fleet_decisions",
    METADATA,
    Column("seq", _SEQ, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
EVENTS = Table(
    "fleet_events",
    METADATA,
    Column("seq", _SEQ, primary_key=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("task_id", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("published", SmallInteger, nullable=False),
)
"""The outbox: `published` is 1 for what a journal has."""

INBOX = Table(
    "fleet_inbox",
    METADATA,
    Column("seq", _SEQ, primary_key=True),
    Column("message_id", Text, nullable=False, unique=True),
    Column("at_ns", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
)
"""What was told to a coordinator that did not lead; `answer` is NULL until the leader took it."""
