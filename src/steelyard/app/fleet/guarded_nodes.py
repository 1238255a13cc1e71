"""What attempts left on the machines of an engine, which may be a stranger's."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from steelyard.domain.fleet.ports import Engine
from steelyard.kernel.errors import EndpointUnreachableError, PluginError, SteelyardError
from steelyard.runtime.fleet.output_files import Found, Gone, HasNodes, NodeFiles
from steelyard.runtime.plugin_border import PluginBorder

T = TypeVar("T")


class GuardedNode:
    """As the `NodeFiles` it asks; whatever goes wrong there, the machine is out of reach.

    Args:
        node: the engine's.
        ask: calls it, as `asked` does.

    Raises:
        EndpointUnreachableError: from every method.
    """

    def __init__(self, node: NodeFiles, ask: "Ask") -> None:
        self._node, self._ask = node, ask

    def parts(self) -> Iterator[list[Found]]:
        """As `Outputs`."""
        (parts,) = self._ask(lambda: [iter(self._node.parts())], list[Any])
        while part := self._ask(lambda: next(parts, []), list[Found]):
            yield part

    def sizes(self, found: Sequence[Found]) -> list[int]:
        """As `Outputs`."""
        return self._ask(lambda: _counted(self._node.sizes(found), found), list[int])

    def remove(self, found: Sequence[Found], *, dry_run: bool) -> Gone:
        """As `Outputs`."""
        return self._ask(lambda: self._node.remove(found, dry_run=dry_run), Gone)

    def tidy_logs(self, before_ns: int, *, dry_run: bool) -> Gone:
        """As `NodeFiles`."""
        return self._ask(lambda: self._node.tidy_logs(before_ns, dry_run=dry_run), Gone)


class Ask:
    """Calls what an engine offers to tidy up with.

    Args:
        name: of the engine.
    """

    def __init__(self, name: str) -> None:
        self._crossing = PluginBorder().crossing(f"engine '{name}'", "tidy up")

    def __call__(self, call: Callable[[], object], kind: type[T]) -> T:
        """Return what a call returns, which is to be of a kind.

        Raises:
            EndpointUnreachableError: it raised, or returned something else.
        """
        try:
            with self._crossing:
                return msgspec.convert(call(), kind)
        except SteelyardError as error:
            raise EndpointUnreachableError(str(error)) from error


def nodes_of(name: str, engine: Engine) -> dict[str, GuardedNode | None]:
    """Return what is on each machine of an engine, by worker; None for one out of reach.

    Raises:
        EndpointUnreachableError: it has something called `outputs`, and that is no such thing.
    """
    ask = Ask(name)
    found = ask(lambda: engine.outputs() if isinstance(engine, HasNodes) else {}, dict[str, Any])
    return {
        worker_id: None if node is None else GuardedNode(node, ask)
        for worker_id, node in found.items()
    }


def _counted(sizes: list[int], found: Sequence[Found]) -> list[int]:
    if len(sizes) != len(found):
        raise PluginError(f"It told {len(sizes)} sizes of {len(found)} directories")
    return sizes
