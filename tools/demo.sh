#!/usr/bin/env bash
# Start the simulated server on a free loopback port, benchmark it, stop it.
# Uses the `steelyard` of the PATH. Writes to artifacts/demo, or to $1.
set -euo pipefail

artifacts="${1:-artifacts/demo}"
requests="${STEELYARD_DEMO_REQUESTS:-200}"
log="$(mktemp)"

steelyard mock --port 0 --ttft-ms 40 --itl-ms 5 >"$log" 2>&1 &
server=$!
finish() {
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    rm -f "$log"
}
trap finish EXIT

for _ in $(seq 1200); do
    url="$(awk '/^listening on / {print $3}' "$log")"
    # No use in waiting for a server that has ended.
    if [ -n "$url" ] || ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.05
done
[ -n "$url" ] || { cat "$log" >&2; echo "The simulated server did not start." >&2; exit 70; }

steelyard profile -m demo -u "$url" --endpoint-type chat --streaming \
    --concurrency 8 --request-count "$requests" --isl 128 --osl 32 --workers 1 \
    --artifact-dir "$artifacts" --ui none
