"""A process in front of a server: speaks TLS, listens on a Unix socket or records what passes.

python relay.py HOST:PORT tls CERTIFICATE.pem | unix SOCKET | record FILE.jsonl

What is recorded is one JSON line per read: `connection` (its number), `by` (`client` or `server`)
and `text`.
"""

import asyncio
import contextlib
import functools
import itertools
import json
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def relay(url: str, kind: str, path: str) -> Iterator[str]:
    """Run a relay to the server at `url` as a process; yield the relay's URL."""
    backend = url.removeprefix("http://")
    process = subprocess.Popen(
        [sys.executable, __file__, backend, kind, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait(60)
        process.stdout.close()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, record: Callable[[bytes], None]
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
            record(data)
    writer.close()


async def _main(backend: str, kind: str, path: str) -> None:
    host, _, port = backend.rpartition(":")
    numbers = itertools.count()

    def record(connection: int, by: str, data: bytes) -> None:
        if kind == "record":
            line = {"connection": connection, "by": by, "text": data.decode("latin-1")}
            with Path(path).open("a") as file:
                file.write(json.dumps(line) + "\n")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(host, int(port))
        note = functools.partial(record, next(numbers))
        await asyncio.gather(
            _copy(reader, back_writer, functools.partial(note, "client")),
            _copy(back_reader, writer, functools.partial(note, "server")),
        )

    if kind == "unix":
        server = await asyncio.start_unix_server(serve, path)
        url = f"unix:{path}"
    elif kind == "record":
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    print(url, flush=True)  # noqa: T201  how the parent learns where
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
