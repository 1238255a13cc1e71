#!/usr/bin/env bash
# A stranger's day: install our wheel and the example plugin package into a clean environment, run
# the package's own tests there, and use its plugins in a real run against the simulated server.
set -euo pipefail
cd "$(dirname "$0")/.."

example=examples/aiperf-example-plugin
work="$(mktemp -d)"
server=""
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap finish EXIT

.venv/bin/python -m build --wheel --outdir "$work/dist" . >"$work/build.log" 2>&1 \
    || { cat "$work/build.log" >&2; exit 1; }
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet "$work"/dist/steelyard-*.whl
.venv/bin/python tools/report_costs.py --python "$work/venv/bin/python" --size
# From a copy: a build leaves its folders in the sources.
cp -r "$example" "$work/example"
"$work/venv/bin/python" -m pip install --quiet "$work/example" pytest pytest-asyncio

# Away from the checkout, so that nothing but the installed packages can be imported.
mv "$work/example/tests" "$work/example-tests"
rm -rf "$work/example"
cd "$work"
export PATH="$work/venv/bin:$PATH"
python -m pytest -q -o asyncio_mode=auto \
    -o asyncio_default_fixture_loop_scope=function -p no:cacheprovider example-tests

steelyard plugins > plugins.txt
grep -i example plugins.txt || { cat plugins.txt; echo "The example plugin isn't listed." >&2; exit 1; }

touch mock.log
steelyard mock --port 0 --ttft-ms 5 --itl-ms 1 >mock.log 2>&1 &
server=$!
for _ in $(seq 600); do
    url="$(awk '/^listening on / {print $3}' mock.log)"
    if [ -n "$url" ] || ! kill -0 "$server" 2>/dev/null; then break; fi
    sleep 0.1
done
[ -n "$url" ] || { cat mock.log >&2; echo "The simulated server did not start." >&2; exit 1; }

cat > plan.yaml <<'YAML'
plugins:
  phase_hooks:
    - name: example_logging_hook
      config: {log_file: phases.log, verbose: true}
    - name: example_metrics_collector_hook
      config: {metrics_file: phase_metrics.json, aggregate: true}
  post_processors:
    - name: example_metrics_processor
      config: {output_file: metrics.txt, include_percentiles: true}
YAML
# A machine that is too busy to measure has plugins called all the same.
steelyard profile --config plan.yaml -m demo -u "$url" --endpoint-type chat \
    --streaming --concurrency 4 --request-count 40 --isl 32 --osl 16 --workers 1 \
    --artifact-dir run --ui none --fail-on ""
python -c '
import json
counted = json.load(open("run/profile_export.json"))["metrics"]["request_count"]["avg"]
assert counted == 40, f"{counted} of 40 requests were answered"
'

# Relative paths of plugins lie in the artifact directory or in the working directory.
for name in phases.log phase_metrics.json metrics.txt; do
    found="$(find . -name "$name" -size +0 -print -quit)"
    [ -n "$found" ] || { echo "The run left no $name: the plugin was not used." >&2; exit 1; }
    printf -- '-- %s\n' "$name"
    head -n 5 "$found"
done
