"""Conversations of several turns while they are under way on a worker."""

import heapq
from collections.abc import Sequence

import msgspec

from steelyard.domain.bench.conversation import Turn
from steelyard.kernel.units import NS_PER_MS


class LiveSession:
    """A conversation: which turn is at hand, and what was said before it.

    Attributes:
        index: the schedule index that began it, its number.
        model, url: of all its turns.
        entry: its entry in the dataset.
        history: turns and answers up to and including the turn at hand.
        replayed_from_ns: when it was meant to begin, where its turns' own times count; else None.
    """

    __slots__ = (
        "_turns",
        "entry",
        "history",
        "index",
        "model",
        "replayed_from_ns",
        "turn",
        "url",
    )

    def __init__(
        self, index: int, entry: int, turns: Sequence[Turn], *, model: int, url: int
    ) -> None:
        self.index = index
        self.entry = entry
        self.model = model
        self.url = url
        self.turn = 0
        self.replayed_from_ns: int | None = None
        self._turns = turns
        self.history = [turns[0]]

    @property
    def last(self) -> bool:
        """No turn follows the one at hand."""
        return self.turn + 1 >= len(self._turns)

    @property
    def turns_left(self) -> int:
        """How many turns follow the one at hand."""
        return len(self._turns) - self.turn - 1

    def advance(self, answer: str, tokens: int, ended_ns: int) -> int:
        """Note the answer and its token count, go to the next turn, and return when that is due.

        That is its delay after the answer; or in a replay at its own time, if that is not over.
        """
        self.history.append(Turn(text=answer, role="assistant", input_tokens=tokens))
        self.turn += 1
        turn = self._turns[self.turn]
        # The system prompt stands in front of the conversation, whichever turn declares it.
        self.history.append(msgspec.structs.replace(turn, system=""))
        from_ns, begun_ms, at_ms = (
            self.replayed_from_ns,
            self._turns[0].timestamp_ms,
            turn.timestamp_ms,
        )
        if from_ns is None or begun_ms is None or at_ms is None:
            return ended_ns + round(turn.delay_ms * NS_PER_MS)
        return max(ended_ns, from_ns + round((at_ms - begun_ms) * NS_PER_MS))


class SessionBook:
    """The sessions of a worker's phase, and the turns that wait for their time.

    Attributes:
        dropped_turns: how many were never sent, as the turn before them got no answer.
    """

    def __init__(self) -> None:
        self.dropped_turns = 0
        self._live: dict[int, LiveSession] = {}
        self._due: list[tuple[int, int]] = []

    def __len__(self) -> int:
        """Return how many sessions of several turns are under way."""
        return len(self._live)

    def begin(self, session: LiveSession) -> None:
        """Follow a session whose first turn is sent."""
        self._live[session.index] = session

    def get(self, index: int) -> LiveSession:
        """Return a session under way."""
        return self._live[index]

    def wait(self, session: LiveSession, due_ns: int) -> None:
        """Have its turn at hand sent at `due_ns`."""
        heapq.heappush(self._due, (due_ns, session.index))

    def next_due_ns(self) -> int | None:
        """Return when the next waiting turn is due."""
        return self._due[0][0] if self._due else None

    def take_due(self, now_ns: int) -> tuple[LiveSession, int] | None:
        """Return a session whose turn is due, with the time it was due at."""
        if not self._due or self._due[0][0] > now_ns:
            return None
        due_ns, index = heapq.heappop(self._due)
        return self._live[index], due_ns

    def end(self, index: int, *, broken: bool = False) -> None:
        """Forget a session that is over; `broken` when its turn at hand got no answer."""
        session = self._live.pop(index)
        if broken:
            self.dropped_turns += session.turns_left

    def end_waiting(self) -> list[int]:
        """End every session that waits for its next turn; return their numbers."""
        ended = [index for _, index in self._due]
        self._due.clear()
        for index in ended:
            del self._live[index]
        return ended
