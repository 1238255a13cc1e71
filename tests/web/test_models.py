"""What clients send is held to its shape before the fleet sees it."""

import pytest

from steelyard.domain.fleet.access import AccessKey, Role
from steelyard.kernel.errors import ConfigError
from steelyard.kernel.units import NS_PER_S
from steelyard.web.models import DEPTH_MAX, TaskIn, TasksIn, body_of, specs_of
from steelyard.web.problems import RequestError
from steelyard.web.tasks import whole_letters

ANN = AccessKey(key_id="a" * 12, name="ann", role=Role.SUBMITTER, user="ann")
ADMIN = AccessKey(key_id="b" * 12, name="root", role=Role.ADMIN, user="root")


class Sent:
    def __init__(self, body):
        self._body = body

    async def body(self):
        return self._body


def nested(depth):
    return b'{"a":' * depth + b"1" + b"}" * depth


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (b'{"kind": "command", "colour": 1}', "unknown field"),
        (b'{"payload": {}}', "missing required field `kind`"),
        (b'{"kind": 5}', "kind"),
        (b'{"kind": "c", "task_id": "../../etc"}', "matching regex"),
        (b'{"kind": "c", "name": "a\\u001b[2J"}', "matching regex"),
        (b'{"kind": "c", "timeout_s": 0}', "timeout_s"),
        (b'{"kind": "c", "timeout_s": 1e400}', "out of range"),
        (b'{"kind": "c", "retries": -1}', "retries"),
        (b'{"kind": "c", "priority": 1.5}', "priority"),
        (b'{"kind": "c", "payload": {"a": NaN}}', "malformed"),
        (b'{"kind": "c", "payload": {"a": 18446744073709551616}}', "more than 64 bits"),
        (b'{"kind": "c", "payload": {"a": "\\u0000"}}', "can't be kept"),
        (b'{"kind": "c", "payload": {"\\u0000": 1}}', "can't be kept"),
        (b'{"kind": "c", "requirements": {"cpu_cores": -1}}', "cpu_cores"),
        (b'{"kind": "c", "requirements": {"gpus": 1000000000000}}', "gpus"),
        (b'{"kind": "c", "backoff": {"factor": 1e300}}', "factor"),
        (b'{"kind": "c", "payload": ' + nested(DEPTH_MAX + 5) + b"}", "nested"),
        (b'{"kind": "c", "payload": ' + nested(100_000) + b"}", "recursion"),
        (b'{"kind": "c", "payload": {"a": "\xff"}}', "utf-8"),
        (b'{"kind": "c", "payload": {"a": "\\ud800"}}', "can't be used"),
        (b"5", "object"),
    ],
)
async def test_a_task_that_can_not_be_kept_is_refused_by_name(task, says):
    with pytest.raises(RequestError) as caught:
        await body_of(Sent(b'{"tasks": [' + task + b"]}"), TasksIn)
    assert caught.value.status == 422
    assert says.lower() in str(caught.value).lower()


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"tasks": []}', b'{"tasks": null}'])
async def test_a_body_of_another_shape_is_refused(body):
    with pytest.raises(RequestError, match="can't be used"):
        await body_of(Sent(body), TasksIn)


def test_what_a_key_submits_is_booked_to_its_user():
    (spec,) = specs_of([TaskIn(kind="command", deadline_s=2.0)], ANN, 5 * NS_PER_S)
    assert (spec.user, spec.project, spec.submitted_ns) == ("ann", "", 5 * NS_PER_S)
    assert spec.deadline_ns == 7 * NS_PER_S
    assert spec.task_id.startswith("t-")
    with pytest.raises(RequestError, match="Only an admin") as caught:
        specs_of([TaskIn(kind="command", user="bob")], ANN, 0)
    assert caught.value.status == 403
    assert specs_of([TaskIn(kind="command", user="bob")], ADMIN, 0)[0].user == "bob"


def test_a_key_of_projects_submits_to_these_and_to_the_first_by_itself():
    key = AccessKey(key_id="c" * 12, name="c", role=Role.SUBMITTER, projects=("p", "q"))
    tasks = [TaskIn(kind="command"), TaskIn(kind="command", project="q")]
    assert [spec.project for spec in specs_of(tasks, key, 0)] == ["p", "q"]
    with pytest.raises(RequestError, match="not for this project"):
        specs_of([TaskIn(kind="command", project="r")], key, 0)


def test_dependencies_are_ids_or_names_of_the_same_request():
    tasks = [
        TaskIn(kind="c", name="build"),
        TaskIn(kind="c", task_id="lint"),
        TaskIn(kind="c", depends_on=("build", "lint", "t-earlier", "build")),
    ]
    build, _, last = specs_of(tasks, ANN, 0)
    assert last.depends_on == (build.task_id, "lint", "t-earlier")


def test_a_name_that_two_tasks_have_can_not_be_depended_on():
    tasks = [TaskIn(kind="c", name="x"), TaskIn(kind="c", name="x"),
             TaskIn(kind="c", depends_on=("x",))]  # fmt: skip
    with pytest.raises(ConfigError, match="x: 2 tasks have this name"):
        specs_of(tasks, ANN, 0)


@pytest.mark.parametrize(
    ("data", "whole"),
    [(b"", 0), (b"abc", 3), ("aé".encode(), 3), ("aé".encode()[:2], 1), ("€".encode()[:2], 0),
     ("😀".encode()[:3], 0), ("😀".encode(), 4), (b"\x80\x80\x80\x80\x80", 5)],
)  # fmt: skip
def test_a_letter_is_not_cut_in_two(data, whole):
    assert whole_letters(data) == data[:whole]
