"""What a run sent and when it meant to, as one hash; and a server that keeps what it was sent."""

import asyncio
import hashlib
import re
import threading
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from acceptance_runs import Run

from steelyard.runtime.journal_reader import JournalReader

WAIT_S = 60
_ID = re.compile(rb"(?i)\r\nx-request-id: ([^\r\n]+)-p(\d+)-(\d+)(?:\.(\d+))?-(\d+)\r\n")


class Place(NamedTuple):
    """Where a request stands in a run: its phase, its schedule index there, its turn."""

    phase: int
    number: int
    turn: int


class KeepingServer:
    """Answers chats on several ports, in a thread; keeps the bytes of each request.

    The answer is made of the request's content alone, since it becomes part of what later turns
    send.

    Args:
        ports: how many ports to listen on.
        pause_s: how long each answer takes.
        answers: how many there are until `go_on` is called.
    """

    def __init__(self, ports: int, pause_s: float = 0.0, answers: int | None = None) -> None:
        self._ports = ports
        self._pause_s = pause_s
        self._answers = answers
        self._goes_on = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []
        self._taken: list[bytes] = []
        self.urls: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open()).result(WAIT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._call(self._close()).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _call(self, work: Any) -> "Future[None]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _open(self) -> None:
        for _ in range(self._ports):
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self._servers.append(server)
            self.urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                self._taken.append(head + body)
                if self._answers is not None and len(self._taken) > self._answers:
                    await self._goes_on.wait()
                await asyncio.sleep(self._pause_s)
                words = hashlib.sha256(body).hexdigest()[:12]
                said = (
                    f'{{"choices":[{{"message":{{"role":"assistant","content":"{words}"}}}}],'
                    f'"usage":{{"prompt_tokens":9,"completion_tokens":1}}}}'
                ).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def go_on(self) -> None:
        """Answer what waits and all that comes."""
        self._loop.call_soon_threadsafe(self._goes_on.set)

    def taken(self) -> dict[Place, bytes]:
        """Return each request since the last call, by its place.

        `RUN` stands for the run's id and `server-0` for the first of the servers, whose ports
        change; so the bytes are the same another day.
        """
        taken, self._taken = self._taken, []
        servers = {url.removeprefix("http://").encode(): b"server-%d" % number
                   for number, url in enumerate(self.urls)}  # fmt: skip
        found: dict[Place, bytes] = {}
        for request in taken:
            match = _ID.search(request)
            assert match is not None, request[:300]
            place = Place(int(match[2]), int(match[3]), int(match[4] or 0))
            assert place not in found, f"{place} was sent twice"
            host = re.search(rb"(?i)\r\nhost: ([^\r\n]+)", request)
            assert host is not None, request[:300]
            named = request.replace(host[1], servers[host[1]], 1)
            found[place] = named.replace(match[1], b"RUN", 1)
        return found


def intended_offsets_ns(run: Run, *, later_turns: bool = False) -> dict[Place, int]:
    """Return when each conversation was meant to begin, after the start of its phase.

    With `later_turns` also when each later turn was meant to be sent; only a replay whose answers
    come in time says that before the run.
    """
    starts = {
        event.payload["stats"]["phase_index"]: event.payload["stats"]["start_ns"]
        for event in JournalReader(Path(run.folder) / "journal").events()
        if event.type == "bench.phase.started"
    }
    found: dict[Place, int] = {}
    for row in run.rows:
        match = _ID.search(f"\r\nX-Request-ID: {row['x_request_id']}\r\n".encode())
        assert match is not None, row
        if row["turn"] == 0 or later_turns:
            place = Place(int(match[2]), row["schedule_index"], row["turn"])
            found[place] = row["intended_ns"] - starts[place.phase]
    return found


def schedule_hash(requests: dict[Place, bytes], offsets_ns: dict[Place, int]) -> str:
    """Return the SHA-256 over place, intended offset and bytes of each request, by place.

    Args:
        requests: as `KeepingServer.taken` returns them.
        offsets_ns: of what has an intended time that depends on no answer; others have none.
    """
    digest = hashlib.sha256()
    for place in sorted(requests):
        when = offsets_ns.get(place, "after an answer")
        digest.update(f"{place.phase} {place.number} {place.turn} {when}\n".encode())
        digest.update(requests[place])
    return digest.hexdigest()
