import pytest

from steelyard.domain.fleet.access import (
    FLEET_WIDE,
    ROLE_PERMISSIONS,
    AccessKey,
    Permission,
    Role,
    bearer_of,
    parse_token,
    token_of,
)


def key(role=Role.SUBMITTER, **more):
    return AccessKey(key_id="a" * 12, name="ann", role=role, user="ann", **more)


def test_every_permission_is_an_admins_and_only_an_admin_manages_keys():
    assert ROLE_PERMISSIONS[Role.ADMIN] == frozenset(Permission)
    others = [ROLE_PERMISSIONS[role] for role in Role if role is not Role.ADMIN]
    assert all(Permission.KEYS_MANAGE not in permissions for permissions in others)


def test_a_reader_changes_nothing():
    assert {p.partition(":")[2] for p in ROLE_PERMISSIONS[Role.READER]} == {"read"}


def test_scopes_narrow_a_role_and_never_widen_it():
    narrow = key(Role.READER, scopes=(Permission.TASKS_READ, Permission.KEYS_MANAGE))
    assert narrow.permissions == {Permission.TASKS_READ}
    assert key(Role.READER).permissions == ROLE_PERMISSIONS[Role.READER]


@pytest.mark.parametrize(
    ("facts", "valid"),
    [
        ({}, True),
        ({"expires_ns": 100}, False),
        ({"expires_ns": 101}, True),
        ({"revoked_ns": 100}, False),
        ({"revoked_ns": 1, "expires_ns": 500}, False),
    ],
)
def test_a_key_ends_at_its_time_or_when_it_is_revoked(facts, valid):
    assert key(**facts).is_valid(100) is valid


def test_a_key_of_some_projects_sees_no_other():
    assert key().sees("any")
    assert key().sees("")
    assert [p for p in ("a", "b", "") if key(projects=("a",)).sees(p)] == ["a"]


def test_a_submitter_cancels_its_own_tasks_and_an_admin_all():
    assert key().may_cancel("ann")
    assert not key().may_cancel("bob")
    assert key(Role.ADMIN).may_cancel("bob")


def test_a_workers_key_drains_the_worker_it_is_named_after():
    assert key(Role.WORKER).may_drain("ann")
    assert not key(Role.WORKER).may_drain("other")


@pytest.mark.parametrize(
    "text",
    ["", "sty_", "sty_aaaaaaaaaaaa_short", "STY_" + "a" * 12 + "_" + "b" * 43,
     "sty_" + "A" * 12 + "_" + "b" * 43, "sty_" + "a" * 12 + "_" + "b" * 44,
     "sty_" + "a" * 12 + "_" + "b" * 43 + "\n", "sty_" + "a" * 12 + "_" + "b" * 42 + "é"],
)  # fmt: skip
def test_what_is_not_shaped_like_a_token_is_none(text):
    assert parse_token(text) is None


def test_a_token_gives_back_what_it_was_made_of():
    assert parse_token(token_of("a2" * 6, "x_-" + "y" * 40)) == ("a2" * 6, "x_-" + "y" * 40)


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer x", "x"), ("bearer  x ", "x"), ("Basic x", None), ("Bearer", None), ("", None),
     ("Bearer ", None)],
)  # fmt: skip
def test_only_the_scheme_bearer_is_read(header, token):
    assert bearer_of(header) == token


@pytest.mark.parametrize(
    ("wanted", "covered"),
    [
        ({"role": Role.ADMIN}, False),
        ({"role": Role.READER}, False),
        ({"role": Role.READER, "projects": ("a", "c")}, False),
        ({"role": Role.READER, "projects": ("b",)}, False),
        ({"role": Role.READER, "projects": ("b",), "scopes": (Permission.TASKS_READ,)}, True),
        ({"role": Role.READER, "scopes": (Permission.TASKS_READ,)}, False),
        ({"role": Role.WORKER, "projects": ("a",)}, False),
    ],
)
def test_a_key_covers_what_allows_no_more_and_nowhere_else(wanted, covered):
    scopes = (Permission.TASKS_READ, Permission.KEYS_MANAGE)
    maker = key(Role.ADMIN, projects=("a", "b"), scopes=scopes)
    assert maker.covers(key(**wanted)) is covered
    assert key(Role.ADMIN).covers(key(**wanted))


def test_a_key_for_some_projects_changes_nothing_that_is_everybodys():
    changes = {each for each in Permission if not each.endswith(":read")}
    # One that is new belongs into FLEET_WIDE, or its route looks at the key's projects.
    assert changes - FLEET_WIDE == {
        Permission.TASKS_SUBMIT, Permission.TASKS_CANCEL, Permission.KEYS_MANAGE,
    }  # fmt: skip
    for role in Role:
        assert not key(role, projects=("a",)).permissions & FLEET_WIDE
        assert key(role).permissions == ROLE_PERMISSIONS[role]
    assert not key(Role.ADMIN, projects=("a",)).covers(key(Role.WORKER))


def test_why_a_permission_is_missing_is_known():
    narrow = key(Role.ADMIN, projects=("a",))
    assert narrow.lacks_for_projects(Permission.FLEET_TIDY)
    assert not narrow.lacks_for_projects(Permission.TASKS_READ)
    assert not key(Role.READER, projects=("a",)).lacks_for_projects(Permission.FLEET_TIDY)
    scoped = key(Role.ADMIN, projects=("a",), scopes=(Permission.TASKS_READ,))
    assert not scoped.lacks_for_projects(Permission.FLEET_TIDY)
    assert not key(Role.ADMIN).lacks_for_projects(Permission.FLEET_TIDY)


@pytest.mark.parametrize(
    ("made_ns", "maker_ns", "outlives"),
    [(0, 0, False), (9, 0, False), (0, 5, True), (6, 5, True), (5, 5, False), (4, 5, False)],
)
def test_a_key_without_an_end_outlives_all_that_have_one(made_ns, maker_ns, outlives):
    assert key(expires_ns=made_ns).outlives(key(expires_ns=maker_ns)) is outlives
