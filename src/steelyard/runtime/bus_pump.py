"""Drives one ZeroMQ socket from an event loop: reads by descriptor, writes in order, both bounded.

`zmq.asyncio` does the same with a future per message. Here reading is a callback, so that a role
without traffic costs nothing and a broker forwards without a task per message.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import zmq

READ_BATCH_MAX = 200


class SocketPump:
    """Calls `on_frames` for each message that arrives and sends what doesn't block.

    ZeroMQ's descriptor signals changes, not levels: after every send or read the socket's events
    are looked at again, else a message could lie unseen until the next one comes.
    """

    def __init__(
        self,
        socket: "zmq.Socket[bytes]",
        on_frames: Callable[[list[bytes]], None],
        *,
        may_read: Callable[[], bool],
        queue_max: int,
    ) -> None:
        self._socket = socket
        self._on_frames = on_frames
        self._may_read = may_read
        self._queue_max = queue_max
        self._queue: deque[tuple[Sequence[bytes], asyncio.Future[None] | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._fd: int = socket.getsockopt(zmq.FD)  # type: ignore[assignment]
        self._kicked = False
        self._open = True
        self._loop.add_reader(self._fd, self._on_ready)
        self.kick()

    def kick(self) -> None:
        """Look at the socket soon; callable as often as one likes."""
        if not self._kicked and self._open:
            self._kicked = True
            self._loop.call_soon(self._on_ready)

    def post_now(self, frames: Sequence[bytes]) -> bool:
        """Send if that needs no waiting; False when the message was not taken."""
        return not self._queue and self._try_send(frames)

    def post(self, frames: Sequence[bytes]) -> bool:
        """Send now or queue; False when the queue is full and the message is lost."""
        if self.post_now(frames):
            return True
        if len(self._queue) >= self._queue_max:
            return False
        self._queue.append((frames, None))
        return True

    async def push(self, frames: Sequence[bytes], timeout_s: float) -> bool:
        """Send, waiting for room; False when the way stayed full and the message was not sent.

        Returns at once when there is room, after `timeout_s` at the latest.
        """
        if self.post_now(frames):
            return True
        sent: asyncio.Future[None] = self._loop.create_future()
        entry = (frames, sent)
        self._queue.append(entry)
        try:
            async with asyncio.timeout(timeout_s):
                await sent
        except TimeoutError:
            return False
        finally:
            if entry in self._queue:
                self._queue.remove(entry)
        return True

    def close(self, linger_ms: int) -> None:
        """Stop reading, hand over what is queued as far as it fits, close the socket."""
        if not self._open:
            return
        self._flush()
        self._open = False
        self._loop.remove_reader(self._fd)
        self._socket.close(linger=linger_ms)

    def _try_send(self, frames: Sequence[bytes]) -> bool:
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        self.kick()
        return True

    def _flush(self) -> None:
        while self._queue:
            frames, sent = self._queue[0]
            if not self._try_send(frames):
                return
            self._queue.popleft()
            if sent is not None and not sent.done():
                sent.set_result(None)

    def _on_ready(self) -> None:
        self._kicked = False
        if not self._open:
            return
        if self._queue:
            self._flush()
        for _ in range(READ_BATCH_MAX):
            if not self._may_read() or not self._readable():
                return
            self._on_frames(self._socket.recv_multipart(zmq.NOBLOCK))
            if self._socket.closed:
                return
        self.kick()

    def _readable(self) -> bool:
        events = self._socket.getsockopt(zmq.EVENTS)
        return bool(int(events) & zmq.POLLIN)
