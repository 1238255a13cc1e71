"""A Ray cluster whose connections are encrypted: the token is never sent in the clear."""

import json
import socket
import ssl
import subprocess
import sys
from importlib.util import find_spec

import pytest
import trustme
from ray_rig import HEAD, RayCluster

from steelyard.runtime.fleet.ray_cluster import Tls

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        find_spec("ray") is None, reason='Ray is not installed: pip install "steelyard[ray]"'
    ),
]

# Ray reads once whether it uses TLS: each coordinator is a process of its own.
COORDINATOR = """
import asyncio, json, sys
from steelyard.builtin.engine.ray import RayEngine
from steelyard.domain.fleet.model import Lease, TaskSpec
from steelyard.kernel.errors import SteelyardError

async def main():
    engine = RayEngine(**json.loads(sys.argv[1]))
    await engine.start()
    while (event := await engine.next_event()).kind != "worker_joined":
        pass
    lease = Lease(task_id="t", worker_id=event.worker_id, attempt=1, token=1)
    spec = TaskSpec(task_id="t", kind="command", payload={"shell": "echo encrypted"})
    await engine.submit(lease, spec)
    while (event := await engine.next_event()).kind != "ended":
        pass
    print(event.outcome.result["stdout"], end="")
    await engine.stop()

try:
    asyncio.run(main())
except SteelyardError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def answer(address, context):
    """Return what the head answers to who speaks TLS like this, b"" when it hangs up."""
    host, _, port = address.partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname=host) as stream,
    ):
        stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")  # RFC 9113, 3.4
        # In TLS 1.3 a client learns of its own refusal when it reads.
        try:
            return stream.recv(9)
        except (ssl.SSLError, ConnectionError):
            return b""


def context_of(tls, *, trust):
    """Return a client with a certificate, or without."""
    context = ssl.create_default_context(cafile=trust.authority)
    context.set_alpn_protocols(["h2"])
    if tls is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def certificates(directory):
    """Make an authority and a certificate of this cluster; return them as paths."""
    directory.mkdir()
    authority = trustme.CA()
    certificate = authority.issue_cert(HEAD, "127.0.0.1", "localhost")
    names = [directory / name for name in ("node.pem", "node.key", "ca.pem")]
    certificate.cert_chain_pems[0].write_to_path(names[0])
    certificate.private_key_pem.write_to_path(names[1])
    authority.cert_pem.write_to_path(names[2])
    return Tls(certificate=str(names[0]), key=str(names[1]), authority=str(names[2]))


def test_work_goes_over_tls_and_other_certificates_are_refused(tmp_path):
    tls = certificates(tmp_path / "ours")
    others = certificates(tmp_path / "others")
    with RayCluster(tls=tls) as cluster:
        options = cluster.engine_options(
            directory=str(tmp_path / "files"),
            tls_certificate=tls.certificate,
            tls_key=tls.key,
            tls_authority=tls.authority,
        )
        ours = subprocess.run(
            [sys.executable, "-c", COORDINATOR, json.dumps(options)],
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert (ours.returncode, ours.stdout) == (0, "encrypted\n"), ours.stderr
        assert answer(cluster.address, context_of(tls, trust=tls))
        for stranger in (None, others):
            assert answer(cluster.address, context_of(stranger, trust=tls)) == b""
        with pytest.raises(ssl.SSLCertVerificationError):
            answer(cluster.address, context_of(tls, trust=others))
