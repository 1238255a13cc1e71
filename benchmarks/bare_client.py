"""The limit: the least that a Python client can do and still count whole responses and events.

uvloop's loop, raw non-blocking sockets, `recv_into` and httptools; no records, no JSON, no metrics.
A closed loop over N connections, each sending its next request when its response is complete. It
prints one JSON object: rates, CPU per request, and TTFT as seen in user space.

    python benchmarks/bare_client.py --url http://127.0.0.1:8000 --connections 64 --duration 5
"""

import argparse
import asyncio
import json
import resource
import socket
import sys
import time
from urllib.parse import urlsplit

import httptools
import uvloop

_BUFFER = bytearray(1 << 18)
_VIEW = memoryview(_BUFFER)


class Tally:
    """What all connections count together."""

    def __init__(self, request: bytes, end_ns: int) -> None:
        """Count responses to `request` until CLOCK_MONOTONIC `end_ns`."""
        self.request = request
        self.end_ns = end_ns
        self.responses = 0
        self.failed = 0
        self.events = 0
        self.bytes = 0
        self.open = 0
        self.ttft_ns: list[int] = []
        self.done = asyncio.Event()


class Connection:
    """One keep-alive connection with at most one request in flight."""

    def __init__(self, tally: Tally, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        """Watch a connected socket and send the first request."""
        self._tally = tally
        self._loop = loop
        self._sock = sock
        self._parser = httptools.HttpResponseParser(self)
        self._start_ns = 0
        self._first = True
        self._newline = False
        loop.add_reader(sock.fileno(), self._read)
        self._send()

    def on_body(self, data: bytes) -> None:
        """Count the events that end in `data`; called by the parser."""
        tally = self._tally
        if self._first:
            self._first = False
            tally.ttft_ns.append(time.monotonic_ns() - self._start_ns)
        events = data.count(b"\n\n")
        if self._newline and data[0] == 10:  # a blank line split over two reads
            events += 1
        self._newline = data.endswith(b"\n") and not data.endswith(b"\n\n")
        tally.events += events

    def on_message_complete(self) -> None:
        """Count the response and send the next request; called by the parser."""
        tally = self._tally
        tally.responses += 1
        if self._parser.get_status_code() != 200:
            tally.failed += 1
        if time.monotonic_ns() < tally.end_ns:
            self._send()
        else:
            self._close()

    def _send(self) -> None:
        self._first = True
        self._start_ns = time.monotonic_ns()
        self._sock.send(self._tally.request)

    def _read(self) -> None:
        try:
            size = self._sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        if not size:
            self._tally.failed += 1
            self._close()
            return
        self._tally.bytes += size
        self._parser.feed_data(_VIEW[:size])

    def _close(self) -> None:
        self._loop.remove_reader(self._sock.fileno())
        self._sock.close()
        self._tally.open -= 1
        if not self._tally.open:
            self._tally.done.set()


def make_request(host: str, *, streaming: bool, tokens: int, words: int) -> bytes:
    """Return one chat request as the server will read it."""
    body = json.dumps(
        {
            "model": "mock",
            "messages": [{"role": "user", "content": "word " * words}],
            "max_tokens": tokens,
            "stream": streaming,
        }
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"X-Request-ID: bare\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def drive(arguments: argparse.Namespace) -> dict[str, float]:
    """Load the server and return the counts as rates."""
    url = urlsplit(arguments.url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    request = make_request(
        f"{host}:{port}",
        streaming=arguments.streaming,
        tokens=arguments.tokens,
        words=arguments.words,
    )
    loop = asyncio.get_running_loop()
    begun_ns, cpu_s = time.monotonic_ns(), _cpu_s()
    tally = Tally(request, begun_ns + round(arguments.duration * 1e9))
    tally.open = arguments.connections
    for _ in range(arguments.connections):
        sock = socket.create_connection((host, port), timeout=10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        Connection(tally, loop, sock)
    await tally.done.wait()
    return report(tally, (time.monotonic_ns() - begun_ns) / 1e9, _cpu_s() - cpu_s)


def report(tally: Tally, wall_s: float, cpu_s: float) -> dict[str, float]:
    """Return rates, shares and TTFT percentiles (ms) of a finished run."""
    ttft = sorted(tally.ttft_ns)
    return {
        "requests": tally.responses,
        "failed": tally.failed,
        "wall_s": round(wall_s, 3),
        "requests_per_s": round(tally.responses / wall_s, 1),
        "events_per_s": round(tally.events / wall_s, 1),
        "mbyte_per_s": round(tally.bytes / wall_s / 1e6, 1),
        "cpu_share": round(cpu_s / wall_s, 3),
        "cpu_ms_per_request": round(cpu_s * 1e3 / max(1, tally.responses), 5),
        "requests_per_cpu_s": round(tally.responses / cpu_s, 1),
        "events_per_cpu_s": round(tally.events / cpu_s, 1),
        "ttft_user_p50_ms": round(ttft[len(ttft) // 2] / 1e6, 4) if ttft else -1.0,
        "ttft_user_p99_ms": round(ttft[len(ttft) * 99 // 100] / 1e6, 4) if ttft else -1.0,
    }


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Read the flags, run, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--duration", type=float, default=5.0)
    parser.add_argument("--streaming", action="store_true")
    parser.add_argument("--tokens", type=int, default=1)
    parser.add_argument("--words", type=int, default=4)
    result = uvloop.run(drive(parser.parse_args()))
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
