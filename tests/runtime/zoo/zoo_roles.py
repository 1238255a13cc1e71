"""Roles that behave and misbehave, for tests of supervision; imported by name in real processes."""

import asyncio
import os
import time
from pathlib import Path

import msgspec

from steelyard.domain.bench.messages import ServiceLost
from steelyard.runtime.service import (
    Service,
    on_cleanup,
    on_configure,
    on_init,
    on_message,
    on_start,
    on_stop,
)


class Do(msgspec.Struct, frozen=True):
    """What a test asks of a role."""

    what: str
    seconds: float = 0.0


class Told(msgspec.Struct, frozen=True):
    """What the role says to it."""

    facts: dict[str, object]


class Idle(Service):
    """Does nothing until it is asked to."""

    service_type = "idle"

    def __init__(self, context):
        super().__init__(context)
        self.lost = []
        self.built_by = "constructor"

    @classmethod
    def build(cls, context):
        """Be built as a plugin with a constructor of its own is."""
        service = cls(context)
        service.built_by = "build"
        return service

    def note(self, word):
        """Leave a mark that outlives the process."""
        with (self.context.run_dir / f"{self.service_id}.notes").open("a") as file:
            file.write(word + "\n")

    @on_message(ServiceLost)
    async def _lost(self, message):
        self.lost.append(message.service_type)

    @on_message(Do)
    async def _do(self, message):
        match message.what:
            case "facts":
                return Told(self.facts())
            case "block":
                time.sleep(message.seconds)  # noqa: ASYNC251 - a loop that is blocked asleep
            case "burn":
                enough = self.context.run_dir / "enough"
                while not enough.exists():
                    pass
            case "task":
                self.spawn(self._fail())
            case "raise":
                await self._fail()
            case "leave":
                self.request_stop()
            case "exit":
                os._exit(7)
            case "print":
                print("words on stdout")  # noqa: T201 - must not reach the terminal
                self.log.warning("words for the terminal")
        return Told({})

    def facts(self):
        """Return what a test checks about the process."""
        descriptors = {}
        for entry in tuple(Path("/proc/self/fd").iterdir()):
            if entry.is_symlink():
                descriptors[entry.name] = str(entry.readlink())
        return {
            "pid": os.getpid(),
            "built_by": self.built_by,
            "lost": self.lost,
            "index": self.context.index,
            "options": self.context.options,
            "peers": [peer.service_type for peer in self.context.peers],
            "loop": type(asyncio.get_running_loop()).__module__,
            "fds": descriptors,
        }

    async def _fail(self):
        raise ValueError("asked to fail")

    @on_stop
    async def _stop(self):
        self.note("stop")

    @on_cleanup
    async def _clean(self):
        self.note("cleanup")


class FailsInit(Idle):
    """Can't be initialized."""

    service_type = "fails_init"

    @on_init
    async def _init(self):
        raise RuntimeError("no dataset here")


class HangsInit(Idle):
    """Never registers."""

    service_type = "hangs_init"

    @on_init
    async def _init(self):
        await asyncio.Event().wait()


class HangsStop(Idle):
    """Doesn't want to stop."""

    service_type = "hangs_stop"

    @on_stop
    async def _hang(self):
        time.sleep(60)  # noqa: ASYNC251 - worse than not stopping: its loop is gone


class FailsStart(Idle):
    """Can be configured, can't be started."""

    service_type = "fails_start"

    @on_configure
    async def _configure(self, message):
        self.note(f"seed {message.plan['seed']}")

    @on_start
    async def _start(self):
        raise ValueError("port 80 is taken")
