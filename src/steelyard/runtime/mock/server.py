"""The simulated server: sockets, routes and life cycle, in an asyncio loop or on its own."""

import asyncio
import gc
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from steelyard.kernel.errors import UsageError
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.mock.answer import Answer
from steelyard.runtime.mock.asked import Asked, read_chat, read_completion
from steelyard.runtime.mock.connection import SO_TIMESTAMPNS, Connection
from steelyard.runtime.mock.draws import Draws
from steelyard.runtime.mock.gauges import Gauges
from steelyard.runtime.mock.items import PATHS, ROUTES, ItemScript, read_items
from steelyard.runtime.mock.options import MockOptions
from steelyard.runtime.mock.reactor import Reactor
from steelyard.runtime.mock.script import Script
from steelyard.runtime.mock.truth import TruthLog, wall_offset_ns
from steelyard.runtime.mock.wire import Request, error_body, response

_BACKLOG = 4096
_ACCEPTS_PER_EVENT = 64
_SCRIPTS_MAX = 64
_REQUEST_LINE_PARTS = 3

_CHAT = b"POST /v1/chat/completions HTTP/1.1"
_COMPLETION = b"POST /v1/completions HTTP/1.1"
_POSTS = frozenset(line.split(b" ")[1] for line in (_CHAT, _COMPLETION, *ROUTES))


class MockServer:
    """An OpenAI-compatible server that says nothing sensible at exactly known times.

    Inside a loop: `port = await server.start()`, later `await server.stop()`. On its own: `serve`.

    Attributes:
        requests_seen: completion requests read so far, the number of the next one.
        port: where it listens, 0 before it does.
    """

    def __init__(self, options: MockOptions | None = None) -> None:
        """Prepare everything that needs no socket."""
        self.options = options or MockOptions()
        self.draws = Draws(self.options)
        self.gauges = Gauges()
        self.role_chunks = self.options.role_chunk
        self.requests_seen = 0
        self.port = 0
        self.wall_offset_ns = 0
        self._side_faults = any(self.options.faults.get(name) for name in ("split", "drop"))
        self._connections: dict[int, Connection] = {}
        self._scripts: dict[tuple[bool, str], Script] = {}
        self._item_scripts: dict[tuple[bytes, str, int], ItemScript] = {}
        self._truth: TruthLog | None = None
        self._pages = self._make_pages()

    @property
    def url(self) -> str:
        """The base URL."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"http://{host}:{self.port}"

    async def start(self) -> int:
        """Listen within the running loop; return the port.

        Raises:
            UsageError: the address is taken or unknown, or the truth log can't be written.
        """
        self.open()
        asyncio.get_running_loop().add_reader(self.reactor.fileno(), self.reactor.turn)
        self.reactor.turn()
        return self.port

    async def stop(self) -> None:
        """Close every connection and write the truth log out."""
        asyncio.get_running_loop().remove_reader(self.reactor.fileno())
        self.shut()

    def open(self) -> None:
        """Listen, without serving yet (see `serve`)."""
        try:
            self._listener = _listen(self.options.host, self.options.port)
        except OSError as problem:
            raise UsageError(
                f"can't listen on {self.options.host} port {self.options.port}",
                got=problem.strerror or str(problem),
                next_step="Choose another --port, or 0 for a free one.",
            ) from problem
        try:
            self._truth = TruthLog(self.options.truth_log) if self.options.truth_log else None
        except OSError as problem:
            self._listener.close()
            raise UsageError(
                f"can't write the truth log {self.options.truth_log}", got=problem.strerror
            ) from problem
        self.reactor = Reactor()
        self.port = self._listener.getsockname()[1]
        self.reactor.add(self._listener.fileno(), self._accept)
        self._tick(time.monotonic_ns())

    def shut(self) -> None:
        """Undo `open`."""
        self.reactor.remove(self._listener.fileno())
        self._listener.close()
        for connection in list(self._connections.values()):
            connection.close()
        if self._truth is not None:
            self._truth.close(self.wall_offset_ns)
        self.reactor.close()

    def answer(self, conn: Connection, request: Request, received: tuple[int, bool]) -> None:
        """Answer one complete request; called by its connection."""
        body = request.body or b""
        line = request.line
        if b"?" in line:
            line = _without_query(line)
        try:
            if line == _CHAT:
                self._complete(conn, request, read_chat(body, self.options), received)
            elif line == _COMPLETION:
                self._complete(conn, request, read_completion(body, self.options), received)
            elif line in ROUTES:
                asked, items = read_items(ROUTES[line], body, self.options)
                script = self._item_script(ROUTES[line], asked.model, items)
                self._complete(conn, request, asked, received, script)
            else:
                conn.write(self._page(line, close=request.close))
                conn.finish(close=request.close)
        except ValueError as problem:
            text = error_body(str(problem), "invalid_request_error")
            self.gauges.count_status(400)
            conn.write(response(400, text, close=request.close))
            conn.finish(close=request.close)

    def account(self, answer: Answer, prompt_tokens: int) -> None:
        """Count one answer that ended, and log its truth."""
        gauges = self.gauges
        gauges.running -= 1
        gauges.count_status(answer.status)
        gauges.prompt_tokens += prompt_tokens
        gauges.output_tokens += answer.tokens
        gauges.chunks += answer.chunks
        if answer.first_ns >= 0:
            gauges.observe_ttft(answer.first_ns - answer.received_ns)
        if self._truth is not None:
            self._truth.rows.append(
                (
                    answer.request_id, answer.received_ns, answer.kernel, answer.first_ns,
                    answer.second_ns, answer.last_ns, answer.chunks, answer.status, answer.tokens,
                    answer.fault,
                )
            )  # fmt: skip

    def forget(self, conn: Connection, fd: int) -> None:
        """Stop watching a connection that closes."""
        self.reactor.remove(fd)
        if self._connections.pop(fd, None) is conn:
            self.gauges.connections -= 1

    def _complete(
        self,
        conn: Connection,
        request: Request,
        asked: Asked,
        received: tuple[int, bool],
        script: Script | None = None,
    ) -> None:
        chat = request.line.startswith(b"POST /v1/chat")
        if self.options.models and asked.model not in self.options.models:
            text = error_body(
                f"The model `{asked.model}` does not exist; see /v1/models.",
                "invalid_request_error",
                "model_not_found",
            )
            self.gauges.count_status(404)
            conn.write(response(404, text, close=request.close))
            conn.finish(close=request.close)
            return
        number = self.requests_seen
        self.requests_seen += 1
        if self._side_faults:
            conn.split = self.draws.split(number)
            conn.drop = self.draws.drop(number)
        answer = Answer(
            self,
            conn,
            script
            or self._scripts.get((chat, asked.model))
            or self._script(asked.model, chat=chat),
            asked,
            number=number,
            request_id=request.request_id,
            received=received,
            close=request.close,
        )
        self.gauges.running += 1
        conn.answer = answer
        answer.begin(time.monotonic_ns())

    def _script(self, model: str, *, chat: bool) -> Script:
        if len(self._scripts) >= _SCRIPTS_MAX:
            self._scripts.clear()
        script = Script(model or "mock", chat=chat, tokens_per_chunk=self.options.tokens_per_chunk)
        self._scripts[chat, model] = script
        return script

    def _item_script(self, route: bytes, model: str, items: int) -> ItemScript:
        key = (route, model, items)
        script = self._item_scripts.get(key)
        if script is None:
            if len(self._item_scripts) >= _SCRIPTS_MAX:
                self._item_scripts.clear()
            script = self._item_scripts[key] = ItemScript(route, model or "mock", items)
        return script

    def _make_pages(self) -> dict[bytes, bytes]:
        models: list[dict[str, Any]] = [
            {"id": name, "object": "model", "created": 0, "owned_by": "steelyard"}
            for name in self.options.models or ("mock",)
        ]
        return {
            b"/v1/models": json.dumps({"object": "list", "data": models}).encode(),
            b"/health": b'{"status": "ok"}',
            b"/metrics": b"",
        }

    def _page(self, line: bytes, *, close: bool) -> bytes:
        method, path = line.split(b" ", 2)[:2]
        if path in self._pages:
            if method != b"GET":
                return _not_allowed(method, "GET", close=close)
            if path == b"/metrics":
                kind = "text/plain; version=0.0.4; charset=utf-8"
                return response(200, self.gauges.text(), kind, close=close)
            return response(200, self._pages[path], close=close)
        if path in _POSTS:
            return _not_allowed(method, "POST", close=close)
        text = error_body(
            f"Unknown path {path.decode('latin-1')}; this server has /v1/chat/completions, "
            f"/v1/completions, {', '.join(PATHS)}, /v1/models, /health and /metrics.",
            "invalid_request_error",
            "not_found",
        )
        return response(404, text, close=close)

    def _accept(self, _mask: int) -> None:
        for _ in range(_ACCEPTS_PER_EVENT):
            try:
                sock, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                self.reactor.remove(self._listener.fileno())  # no descriptors left: retry at a tick
                return
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, sock)
            self._connections[sock.fileno()] = connection
            self.gauges.connections += 1
            self.reactor.add(sock.fileno(), connection.on_event)

    def _tick(self, now_ns: int) -> None:
        """Once a second: measure the wall offset anew, write the truth log, listen again."""
        self.wall_offset_ns = wall_offset_ns()
        if self._truth is not None:
            self._truth.flush(self.wall_offset_ns)
        if not self.reactor.watches(self._listener.fileno()):
            self.reactor.add(self._listener.fileno(), self._accept)
        self.reactor.call_at(now_ns + NS_PER_S, self._tick)


def serve(options: MockOptions, announce: Callable[[str], None]) -> str:
    """Serve until SIGINT or SIGTERM; call `announce(url)` once it listens; return a summary line.

    Takes the process over: signal handlers, and a garbage collector that looks less often.

    Raises:
        UsageError: as `MockServer.start`.
    """
    server = MockServer(options)
    server.open()
    reactor = server.reactor
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: reactor.stop())
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    begun_ns, cpu_s = time.monotonic_ns(), time.process_time()
    announce(server.url)
    reactor.run()
    wall_s = (time.monotonic_ns() - begun_ns) / NS_PER_S
    busy = (time.process_time() - cpu_s) / wall_s
    server.shut()
    gauges = server.gauges
    statuses = ", ".join(f"{n} x {status}" for status, n in sorted(gauges.by_status.items()))
    return (
        f"mock (pid {os.getpid()}): {server.requests_seen} requests ({statuses or 'none'}), "
        f"{gauges.output_tokens} tokens in {gauges.chunks} chunks, {wall_s:.1f} s, "
        f"{busy:.0%} of a core"
    )


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _name, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _without_query(line: bytes) -> bytes:
    parts = line.split(b" ")
    if len(parts) == _REQUEST_LINE_PARTS:
        parts[1] = parts[1].partition(b"?")[0]
    return b" ".join(parts)


def _not_allowed(method: bytes, allowed: str, *, close: bool) -> bytes:
    text = error_body(
        f"{method.decode('latin-1')} is not allowed here; use {allowed}.", "invalid_request_error"
    )
    return response(405, text, close=close, extra=f"Allow: {allowed}\r\n")
