"""A role whose callbacks raise, and one whose loop reports what is nobody's fault."""

import asyncio
import gc
import os
import socket
import struct
import threading

from zoo_roles import Do, Idle, Told

from steelyard.runtime.service import on_cleanup, on_configure, on_message


class Faulty(asyncio.Protocol):
    """Raises at what it is sent."""

    def data_received(self, data):
        """Take what came."""
        raise ZeroDivisionError("in a callback")


class Strays(Idle):
    """Has something raise on its loop, of the kind that it is asked for."""

    service_type = "strays"

    def __init__(self, context):
        super().__init__(context)
        self.kept = []
        self.pipe = ()

    @on_message(Do)
    async def _do(self, message):
        stray = getattr(self, f"_{message.what}", None)
        if stray is None:
            return await super()._do(message)
        await stray(asyncio.get_running_loop())
        return Told({})

    def _raise(self, *_):
        raise ZeroDivisionError("in a callback")

    async def _soon(self, loop):
        loop.call_soon(self._raise)

    async def _timer(self, loop):
        loop.call_later(0.01, self._raise)

    async def _reader(self, loop):
        """Raises at every turn of the loop: nobody reads."""
        reading, writing = self.pipe = os.pipe()
        loop.add_reader(reading, self._raise)
        os.write(writing, b"x")

    @on_cleanup
    async def _let_go(self):
        for fd in self.pipe:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)

    async def _done(self, loop):
        future = loop.create_future()
        future.add_done_callback(self._raise)
        future.set_result(None)

    async def _thread(self, loop):
        threading.Thread(target=loop.call_soon_threadsafe, args=(self._raise,)).start()

    async def _protocol(self, loop):
        here, there = socket.socketpair()
        self.kept += [there, await loop.connect_accepted_socket(Faulty, here)]
        there.send(b"x")

    async def _harmless(self, loop):
        """Have the loop report a task that failed unseen, a stream's error, and see a reset."""
        loop.create_task(self._fail())
        await asyncio.sleep(0.02)
        gc.collect()
        server = await asyncio.start_server(self._session, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        with socket.create_connection(address) as peer:
            await asyncio.sleep(0.05)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await asyncio.sleep(0.05)
        server.close()
        context = {"message": "Fatal error on transport", "exception": ConnectionResetError()}
        loop.call_exception_handler({**context, "transport": None, "protocol": Faulty()})

    async def _session(self, reader, writer):
        self.kept.append(writer)
        raise ValueError("in a session")


class StrayConfigure(Strays):
    """Leaves a callback that raises while it is still being configured."""

    service_type = "stray_configure"

    @on_configure
    async def _configure(self, message):
        await self._timer(asyncio.get_running_loop())
        await asyncio.Event().wait()
