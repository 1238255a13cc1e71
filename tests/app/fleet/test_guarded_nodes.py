"""What an engine offers to tidy up with is a stranger's: nothing of it ends a coordinator."""

import pytest
from fleet_host import coordinator
from fleet_rig import InstantEngine

from steelyard.app.fleet.guarded_nodes import nodes_of
from steelyard.kernel.errors import EndpointUnreachableError, UsageError
from steelyard.runtime.fleet.output_files import Found, Gone


class Fine:
    """Has nothing to remove, in two parts."""

    def parts(self):
        return [[Found("a")], [Found("b")]]

    def sizes(self, found):
        return [1 for _ in found]

    def remove(self, found, *, dry_run):
        return Gone()

    def tidy_logs(self, before_ns, *, dry_run):
        return Gone(bytes=3)


class WithNodes(InstantEngine):  # type: ignore[misc]  # support modules are Any to mypy
    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs


class Raises(InstantEngine):  # type: ignore[misc]
    @property
    def outputs(self):
        raise KeyError("no such thing")


def node(**methods):
    made = Fine()
    for name, method in methods.items():
        setattr(made, name, method)
    return nodes_of("strange", WithNodes(lambda: {"n": made}))["n"]


def fails(*_, **__):
    raise ZeroDivisionError("no files")


def refuses(*_, **__):
    raise UsageError("no files")


def some_then_fails():
    yield [Found("a")]
    fails()


def test_nodes_that_do_as_they_should_are_asked_as_they_are():
    fine = node()
    assert list(fine.parts()) == [[Found("a")], [Found("b")]]
    assert fine.sizes([Found("a")]) == [1]
    assert fine.remove([Found("a")], dry_run=True) == Gone()
    assert fine.tidy_logs(0, dry_run=True) == Gone(bytes=3)
    assert nodes_of("plain", InstantEngine()) == {}
    assert nodes_of("away", WithNodes(lambda: {"n": None})) == {"n": None}


@pytest.mark.parametrize(
    "engine",
    [WithNodes(["a.txt"]), WithNodes(fails), WithNodes(refuses), WithNodes(lambda: 7), Raises()],
)
async def test_an_engine_with_something_else_called_outputs_is_one_out_of_reach(
    tmp_path, engine, caplog
):
    with pytest.raises(EndpointUnreachableError):
        nodes_of("strange", engine)
    async with coordinator(tmp_path, engine) as fleet:
        done = await fleet.tidy()
        assert len(done.unreached) == 1
        assert done.unreached[0].startswith("engine '")
        assert done.done
        assert fleet.leads
    assert "What is over stays on engine '" in caplog.text


@pytest.mark.parametrize(
    "parts", [fails, refuses, lambda: 7, lambda: [["a"]], lambda: [7], some_then_fails]
)
def test_a_node_that_can_not_tell_of_its_files_is_out_of_reach(parts):
    with pytest.raises(EndpointUnreachableError):
        list(node(parts=parts).parts())


@pytest.mark.parametrize("answer", [fails, refuses, lambda *_, **__: "much", lambda *_, **__: []])
def test_a_node_that_does_something_else_is_out_of_reach(answer):
    strange, found = node(sizes=answer, remove=answer, tidy_logs=answer), [Found("a")]
    for ask in (
        lambda: strange.sizes(found),
        lambda: strange.remove(found, dry_run=True),
        lambda: strange.tidy_logs(0, dry_run=True),
    ):
        with pytest.raises(EndpointUnreachableError):
            ask()


async def test_a_node_of_a_stranger_that_fails_is_named_and_the_rest_tidied_up(tmp_path):
    broken = Fine()
    broken.tidy_logs = fails  # type: ignore[method-assign]
    engine = WithNodes(lambda: {"n1": broken, "n2": Fine()})
    async with coordinator(tmp_path, engine) as fleet:
        done = await fleet.tidy()
        assert (done.unreached, done.worker_log_bytes) == (("n1",), 3)
        assert fleet.leads
