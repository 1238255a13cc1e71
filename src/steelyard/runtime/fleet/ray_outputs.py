"""What attempts wrote on a node of a Ray cluster, looked through and removed by its agent."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from steelyard.kernel.errors import EndpointUnreachableError
from steelyard.runtime.fleet.output_files import Found, Gone
from steelyard.runtime.fleet.ray_connection import first_line

ANSWER_WITHIN_S = 60.0
"""A disk may be slow, and a step is a hundred directories."""
T = TypeVar("T")


class NodeOutputs:
    """As `Outputs`; to be called in a thread, as it waits for the node.

    Args:
        worker_id: the node's.
        agent: the actor on it.
    """

    def __init__(self, worker_id: str, agent: Any) -> None:
        self._worker_id, self._agent = worker_id, agent

    def parts(self) -> Iterator[list[Found]]:
        """As `Outputs`."""
        begin = True
        while part := self._ask(list[Found], self._agent.outputs, begin):
            begin = False
            yield part

    def sizes(self, found: Sequence[Found]) -> list[int]:
        """As `Outputs`."""
        packed = msgspec.msgpack.encode(found)
        sizes = self._ask(list[int], self._agent.output_sizes, packed)
        if len(sizes) != len(found):
            raise EndpointUnreachableError(
                f"The agent of {self._worker_id} makes no sense: it told the sizes of {len(sizes)}"
                f" directories, and was asked for those of {len(found)}"
            )
        return sizes

    def remove(self, found: Sequence[Found], *, dry_run: bool) -> Gone:
        """As `Outputs`."""
        packed = msgspec.msgpack.encode(found)
        return self._ask(Gone, self._agent.remove_outputs, packed, dry_run)

    def tidy_logs(self, before_ns: int, *, dry_run: bool) -> Gone:
        """As `Outputs`."""
        return self._ask(Gone, self._agent.tidy_logs, before_ns, dry_run)

    def _ask(self, kind: type[T], method: Any, *arguments: Any) -> T:
        """Return what the agent answers.

        Raises:
            EndpointUnreachableError: it does not, it could not do it, or it makes no sense.
        """
        import ray
        from ray.exceptions import RayError

        try:
            answer = ray.get(method.remote(*arguments), timeout=ANSWER_WITHIN_S)
        except RayError as error:
            raise EndpointUnreachableError(
                f"The agent of {self._worker_id} does not tidy up: {first_line(error)}"
            ) from error
        try:
            return msgspec.msgpack.decode(answer, type=kind)
        except msgspec.MsgspecError as error:
            raise EndpointUnreachableError(
                f"The agent of {self._worker_id} said what is no message ({error})"
            ) from error
