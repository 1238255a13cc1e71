"""What the simulated server carries, measured with the bare client on the same machine.

    python benchmarks/mock.py [--duration 4] [--json]

Each line is one run: the server alone in a process, the client alone in another, 64 connections,
no delays. `server` and `client` are the shares of a core each used; the ceiling of the pair is
whichever is near 100 %.
"""

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil

_CLIENT = Path(__file__).with_name("bare_client.py")

CASES: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("short requests", (), ("--tokens", "1")),
    ("short requests, truth log", ("--truth-log", "/dev/null"), ("--tokens", "1")),
    ("streams of 128, one write", (), ("--streaming", "--tokens", "128")),
    (
        "streams of 128, a write per chunk",
        ("--itl-ms", "0.001"),
        ("--streaming", "--tokens", "128"),
    ),
    ("streams of 128, 20 ms apart", ("--itl-ms", "20"), ("--streaming", "--tokens", "128")),
)


def measure(
    server_flags: tuple[str, ...], client_flags: tuple[str, ...], duration_s: float
) -> dict[str, float]:
    """Run one case; return the client's JSON with the server's share of a core."""
    server = subprocess.Popen(
        [sys.executable, "-m", "steelyard", "mock", "--port", "0", *server_flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None  # noqa: S101 - a pipe was asked for
        url = server.stdout.readline().split()[-1]
        watched = psutil.Process(server.pid)
        before = sum(watched.cpu_times()[:2])
        client = subprocess.run(
            [
                sys.executable, str(_CLIENT), "--url", url, "--connections", "64",
                "--duration", str(duration_s), *client_flags,
            ],
            check=True,
            capture_output=True,
            text=True,
        )  # fmt: skip
        result: dict[str, float] = json.loads(client.stdout)
        used = sum(watched.cpu_times()[:2]) - before
        result["server_cpu_share"] = round(used / result["wall_s"], 3)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)
    return result


def main() -> None:
    """Run every case and print a table, or JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duration", type=float, default=4.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not arguments.json:
        print(f"{'case':36}{'req/s':>10}{'events/s':>11}{'server':>8}{'client':>8}{'ms/req':>9}")
    for name, server_flags, client_flags in CASES:
        row = measure(server_flags, client_flags, arguments.duration)
        if arguments.json:
            print(json.dumps({"case": name, **row}))
            continue
        print(
            f"{name:36}{row['requests_per_s']:>10,.0f}{row['events_per_s']:>11,.0f}"
            f"{row['server_cpu_share']:>8.0%}{row['cpu_share']:>8.0%}"
            f"{row['cpu_ms_per_request']:>9.4f}"
        )


if __name__ == "__main__":
    main()
