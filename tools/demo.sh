#!/usr/bin/env bash
# Start the simulated server on a free loopback port, benchmark it, stop it.
# Uses the `steelyard` and `python` of the PATH. Writes to artifacts/demo, or to $1.
set -euo pipefail

artifacts="${1:-artifacts/demo}"
requests="${STEELYARD_DEMO_REQUESTS:-200}"
log="$(mktemp)"

port="$(python - <<'PY'
import socket

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    print(probe.getsockname()[1])
PY
)"

steelyard mock --port "$port" --ttft-ms 40 --itl-ms 5 >"$log" 2>&1 &
server=$!
finish() {
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    rm -f "$log"
}
trap finish EXIT

python - "$port" "$server" <<'PY' || { cat "$log" >&2; exit 70; }
import os
import sys
import time
import urllib.request

port, server = int(sys.argv[1]), int(sys.argv[2])
deadline = time.monotonic() + 15
while time.monotonic() < deadline:
    os.kill(server, 0)  # raises when the server has ended: no use in waiting for it
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1):
            sys.exit(0)
    except OSError:
        time.sleep(0.05)
sys.exit(f"The simulated server did not answer on port {port} within 15 s.")
PY

steelyard profile -m demo -u "http://127.0.0.1:$port" --endpoint-type chat --streaming \
    --concurrency 8 --request-count "$requests" --isl 128 --osl 32 --workers 1 \
    --artifact-dir "$artifacts" --ui none
