"""What is wrong with a request's body is said by its place, with what would have done."""

import msgspec
import pytest

from steelyard.web.body_problems import problem_of
from steelyard.web.models import KeyIn, TasksIn


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"tasks": [{"kindd": "x"}]}',
         (r"^tasks\[0\] has an unknown field; got 'kindd'; expected one of kind, payload, .*"
         r"\. Did you mean 'kind'\?$")),
        (b'{"tasks": [{"kind": "x", "requirements": {"memory": 3}}]}',
         (r"^tasks\[0\]\.requirements has an unknown field; got 'memory'; expected one of "
         r"cpu_cores, memory_gb, .* Did you mean 'memory_gb'\?$")),
        (b'{"task": []}', r"^The body has an unknown field; .*Did you mean 'tasks'\?$"),
        (b'{"tasks": [{"kind": "x", "priority": "high"}]}',
         r"^tasks\[0\]\.priority can't be used: Expected `int`, got `str`\.$"),
        (b'{"tasks": [{"kind": "x", "labels": {"a": 1}}]}', r"^tasks\[0\]\.labels\[\.\.\.\] "),
        (b"{", r"^The body can't be used: .*expected JSON of the form TasksIn\.$"),
    ],
)  # fmt: skip
def test_a_mistake_has_its_place_and_what_is_known_there(body, says):
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(body, type=TasksIn)
    problem = problem_of(caught.value, TasksIn)
    assert problem.status == 422
    with pytest.raises(type(problem), match=says):
        raise problem


def test_a_field_that_is_like_none_has_no_suggestion():
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(b'{"name": "a", "role": "admin", "zzz": 1}', type=KeyIn)
    problem = problem_of(caught.value, KeyIn)
    assert (problem.got, problem.next_step) == ("zzz", None)
