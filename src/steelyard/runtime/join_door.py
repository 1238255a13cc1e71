"""How a worker's keeper asks to be let into a run: one question, before anything is forked.

It uses a socket without a loop, so that nothing is left of it in the process that forks then.
"""

import os
import time

import msgspec
import zmq

from steelyard import __version__
from steelyard.domain.bench import join_messages
from steelyard.domain.bench.join_messages import Joined, JoinRun
from steelyard.kernel.errors import EndpointUnreachableError, UsageError
from steelyard.runtime.bus_messages import MESSAGES, CommandFailure, Hello, register_messages
from steelyard.runtime.bus_port import BusCounters, Parcel
from steelyard.runtime.bus_wire import BusLimits, CurveKeys, Opener, open_socket, prove, to_frame
from steelyard.runtime.host_facts import host_identity
from steelyard.runtime.join import Join
from steelyard.runtime.join_address import first_open
from steelyard.runtime.remote_seats import DOOR_SUFFIX

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
AGAIN_S = 1.0
_REQUEST = "join"

register_messages(join_messages)


def keys_of(join: Join) -> CurveKeys:
    """Return the keys with which a worker of the run shows itself."""
    return CurveKeys(
        join.server_public.encode(), b"", join.client_public.encode(), join.client_secret.encode()
    )


def reachable_address(join: Join, wait_s: float = 0.0) -> str:
    """Return the first address of the run at which something listens.

    Args:
        join: of a worker.
        wait_s: how long a run that has not begun is waited for.

    Raises:
        EndpointUnreachableError: nothing does, at none of them.
    """
    until = time.monotonic() + wait_s
    address = first_open(join.addresses, CONNECT_TIMEOUT_S)
    while address is None and time.monotonic() < until:
        time.sleep(min(AGAIN_S, wait_s))
        address = first_open(join.addresses, CONNECT_TIMEOUT_S)
    if address is None:
        raise EndpointUnreachableError(
            f"Nobody listens for workers of run {join.run_id}",
            got=", ".join(join.addresses),
            next_step="Is the run over? Else look at --listen and --advertise of the run, and at "
            "firewalls between the two machines.",
        )
    return address


def knock(join: Join, address: str, timeout_s: float = ANSWER_TIMEOUT_S) -> Joined:
    """Ask the run to take the worker of `join` in.

    Raises:
        UsageError: the run refuses it, its Steelyard is another one, or the keys are damaged.
        EndpointUnreachableError: no answer: who listens there does not take these keys.
    """
    if join.version != __version__:
        raise UsageError(
            "The run has another version of Steelyard than this worker",
            got=join.version,
            expected=__version__,
            next_step="Install the same one on both machines.",
        )
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        socket = open_socket(context, zmq.DEALER, address, BusLimits())
        refusals = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        try:
            return _ask(socket, refusals, join, address, timeout_s)
        finally:
            socket.disable_monitor()
            refusals.close(linger=0)
            socket.close(linger=0)
    finally:
        context.term()


def _ask(
    socket: "zmq.Socket[bytes]",
    refusals: "zmq.Socket[bytes]",
    join: Join,
    address: str,
    timeout_s: float,
) -> Joined:
    name = join.service_id + DOOR_SUFFIX
    socket.setsockopt(zmq.IDENTITY, name.encode())
    try:
        prove(socket, keys_of(join))
    except zmq.ZMQError as error:
        raise UsageError(
            "The keys of this join can't be read", next_step="Copy the join again from the run."
        ) from error
    socket.connect(address)
    question = JoinRun(
        service_id=join.service_id,
        index=join.index,
        host=host_identity(),
        pid=os.getpid(),
        version=__version__,
    )
    for parcel in (
        Parcel(Hello(name, "door"), name),
        Parcel(question, name, join.controller_id, request_id=_REQUEST),
    ):
        socket.send(to_frame(parcel))
    answer = _answer(socket, refusals, timeout_s)
    if answer is None:
        raise EndpointUnreachableError(
            f"The run {join.run_id} did not let this worker in at {address}",
            next_step="Is this the join of a run that is over? Another run that listens there "
            "takes its own keys only.",
        )
    if isinstance(answer, CommandFailure):
        raise UsageError(
            f"The run refuses this worker: {answer.error.removeprefix('UsageError: ')}"
        )
    return msgspec.convert(msgspec.to_builtins(answer), Joined)


def _answer(
    socket: "zmq.Socket[bytes]", refusals: "zmq.Socket[bytes]", timeout_s: float
) -> msgspec.Struct | None:
    """Return what answers the question, None when nobody does or the keys are refused.

    Publications that come meanwhile are passed over.
    """
    opener = Opener(MESSAGES, BusCounters())
    poller = zmq.Poller()
    for each in (socket, refusals):
        poller.register(each, zmq.POLLIN)
    until = time.monotonic() + timeout_s
    while (left_s := until - time.monotonic()) > 0:
        ready = dict(poller.poll(max(1, int(left_s * 1000))))
        if refusals in ready:
            return None
        if socket not in ready:
            continue
        envelope = opener.envelope(socket.recv(), "the run")
        parcel = opener.parcel(envelope) if envelope is not None else None
        if parcel is not None and parcel.reply_to == _REQUEST:
            return parcel.message
    return None
