"""A controller in a process of its own: takes commands on stdin, tells events, one JSON a line.

Usage: python zoo_controller.py MODE RUN_DIR JSON_ROLES TIMEOUT_S TERM_LIMIT_S PARENT_LOOKS
"""

import asyncio
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import uvloop
from zoo_roles import Do, Told

from steelyard.domain.bench.messages import ConfigureRun
from steelyard.kernel.errors import SteelyardError
from steelyard.runtime import bootstrap
from steelyard.runtime.bus import register_messages
from steelyard.runtime.supervisor import RoleSpec, ServiceDeath, Supervisor


def tell(event: str, **facts: object) -> None:
    """Print one event."""
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


async def act(supervisor: Supervisor, order: dict[str, object]) -> dict[str, object]:
    """Carry out one line of stdin."""
    match order["do"]:
        case "configure":
            await supervisor.configure_all(ConfigureRun({"seed": 5}))
        case "start":
            await supervisor.start_all()
        case "ask":
            message = Do(str(order["what"]), float(order.get("seconds", 0)))
            answer = await supervisor.bus.command(
                str(order["target"]), message, timeout_s=float(order.get("timeout_s", 60))
            )
            return answer.facts if isinstance(answer, Told) else {}
        case "block":
            time.sleep(float(order["seconds"]))  # noqa: ASYNC251 - the controller itself is late
        case "crash":
            raise ZeroDivisionError
        case "stop":
            began = time.monotonic()
            await supervisor.stop(float(order.get("timeout_s", 60)))
            return {"took_s": time.monotonic() - began}
    return {}


async def control(supervisor: Supervisor, timeout_s: float) -> None:
    """Start, then obey until stdin ends."""
    orders: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(0, lambda: orders.put_nowait(sys.stdin.readline()))
    began = time.monotonic()
    try:
        await supervisor.start(timeout_s)
    except SteelyardError as error:
        tell("refused", error=str(error))
        return
    services = {sid: [s.peer.service_type, s.pid] for sid, s in supervisor.services.items()}
    tell("ready", services=services, took_s=time.monotonic() - began, me=supervisor.controller_id)
    while line := await orders.get():
        try:
            tell("done", result=await act(supervisor, json.loads(line)))
        except SteelyardError as error:
            tell("error", error=str(error))
    loop.remove_reader(0)
    await supervisor.stop()


def main() -> None:
    """Run until stdin ends."""
    mode, run_dir, roles = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    timeout_s, bootstrap.TERM_LIMIT_S = float(sys.argv[4]), float(sys.argv[5])
    bootstrap.PARENT_LOOKS = int(sys.argv[6])
    register_messages((Do, Told))

    def on_death(death: ServiceDeath) -> None:
        tell("death", **asdict(death), now_ns=time.monotonic_ns())

    specs = [RoleSpec(**role) for role in roles]
    supervisor = Supervisor(mode, specs, run_dir=run_dir, on_death=on_death)
    supervisor.fork()
    uvloop.run(control(supervisor, timeout_s))
    tell("end")


if __name__ == "__main__":
    main()
