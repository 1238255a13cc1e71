"""A process in front of a server: speaks TLS or listens on a Unix socket, passes everything on.

python relay.py HOST:PORT tls CERTIFICATE.pem | unix SOCKET
"""

import asyncio
import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator


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
        process.wait(10)
        process.stdout.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _main(backend: str, kind: str, path: str) -> None:
    host, _, port = backend.rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_copy(reader, back_writer), _copy(back_reader, writer))

    if kind == "unix":
        server = await asyncio.start_unix_server(serve, path)
        url = f"unix:{path}"
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    print(url, flush=True)  # noqa: T201  how the parent learns where
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
