"""Flags that users of AIPerf know and that are refused by name, never silently ignored."""

_BY_REASON: dict[str, str] = {
    "model selection": "--model-selection-strategy",
    "waiting for a model; start the run when the server is ready": (
        "--wait-for-model-timeout --wait-for-model-mode --wait-for-model-interval"
    ),
    "server-side profiling and cache resets": (
        "--reset-kv-cache --reset-kv-cache-timeout-seconds --reset-kv-cache-path --server-"
        "profiler --server-profiler-timeout-seconds --server-profiler-start-path --server-"
        "profiler-stop-path"
    ),
    "this form of request body": (
        "--per-chunk-usage --download-video-content --request-content-type --session-header "
        "--uuid-and-strip"
    ),
    "downloading tokenizers; --tokenizer names a plugin, a path or an installed package": (
        "--tokenizer-revision --tokenizer-trust-remote-code"
    ),
    "public data sets; give a file with --input-file": (
        "--public-dataset --hf-subset --hf-weka-dataset --dataset-filter"
    ),
    "trace replay": (
        "--ignore-trace-delays --use-think-time-only --max-context-length "
        "--allow-dataset-wrap --no-allow-dataset-wrap --trace-session-sample-ratio "
        "--replay-speedup --open-loop-replay --no-open-loop-replay --open-loop-strict "
        "--omit-kv-hints --inter-turn-delay-cap-seconds --max-idle-gap-cap-seconds "
        "--trajectory-start-min-ratio --trajectory-start-max-ratio --burst-phase-starts "
        "--trace-idle-gap-cap-seconds --system-idle-gap-cap-seconds"
    ),
    "this shape of prompt; --isl and --isl-stddev set its length": (
        "--prompt-batch-size --batch-size-text --batch-size -b --prompt-corpus --cache-bust "
        "--force-min-tokens --no-force-min-tokens --seq-dist --sequence-distribution "
        "--random-range-ratio --random-corpus-style"
    ),
    "prefix and system prompts": (
        "--system-prompt --system-prompt-file --prompt-prefix-pool-size --prefix-prompt-pool-"
        "size --num-prefix-prompts --prompt-prefix-length --prefix-prompt-length --shared-"
        "system-prompt-length --user-context-prompt-length"
    ),
    "audio input": (
        "--audio-batch-size --batch-size-audio --audio-length-mean --audio-length-stddev "
        "--audio-format --audio-depths --audio-sample-rates --audio-num-channels"
    ),
    "image input": (
        "--image-width-mean --image-width-stddev --image-height-mean --image-height-stddev "
        "--image-batch-size --batch-size-image --image-format --image-source --image-source-"
        "sampling"
    ),
    "video input": (
        "--video-batch-size --batch-size-video --video-duration --video-fps --video-width "
        "--video-height --video-synth-type --video-format --video-codec --video-audio-sample-"
        "rate --video-audio-num-channels --video-audio-codec --video-audio-depth"
    ),
    "synthesis from traces": (
        "--synthesis-speedup-ratio --synthesis-prefix-len-multiplier --synthesis-prefix-root-"
        "multiplier --synthesis-prompt-len-multiplier --synthesis-output-len-multiplier "
        "--synthesis-max-isl --synthesis-max-osl"
    ),
    "stopping at a share of failures": "--failed-request-threshold",
    "scenarios": "--scenario --unsafe-override",
    "agentic warm-up": "--agentic-cache-warmup-duration --agentic-warmup-grace-period",
    "user-centric load; use --concurrency or --request-rate": "--user-centric-rate --num-users",
    "this output; see --exporters": (
        "--profile-export-prefix --profile-export-file --plot-required "
        "--export-outputs-json --stats-interval"
    ),
    "this spelling; --track names trackers, their options are in a configuration file": (
        "--gen-ai-provider "
        "--mlflow-tracking-uri --mlflow-experiment --mlflow-run-name --mlflow-tag "
        "--mlflow-parent-run-id --mlflow-artifact-glob --wandb-project --wandb-entity "
        "--wandb-run-name --wandb-tag"
    ),
    "server metrics": "--server-metrics --no-server-metrics --server-metrics-formats",
    "network latency probes": (
        "--network-latency-automatic --network-latency-mean --network-latency-ping-interval"
    ),
    "GPU telemetry": "--gpu-telemetry --no-gpu-telemetry",
    "several runs in one command; run `steelyard profile` for each": (
        "--num-profile-runs --profile-run-cooldown-seconds --confidence-level --convergence-"
        "metric --convergence-stat --convergence-threshold --convergence-mode"
    ),
    "sweeps and searches; run `steelyard profile` for each point": (
        "--parameter-sweep-cooldown-seconds --parameter-sweep-mode --sweep-type --no-sweep-"
        "table --search-space --search-metric --search-stat --search-direction --search-max-"
        "iterations --search-initial-points --search-random-seed --search-planner --optuna-"
        "sampler --optuna-acquisition --optuna-terminator --search-percentile-pooling --bo-"
        "constraint-mode --variant --sweep-variant --search-sla --search-sla-tier --search-"
        "recipe --ttft-sla-ms --isl-osl-pairs --itl-sla-ms --tpot-sla-ms --e2e-sla-ms --error-"
        "rate-sla --slo-attainment-fraction --search-style --degradation-threshold "
        "--degradation-metric-tag --degradation-stat --isl-min --isl-max --isl-steps "
        "--concurrency-min --concurrency-max --concurrency-steps --osl-min --osl-max --osl-"
        "steps"
    ),
    "accuracy benchmarks": (
        "--accuracy-benchmark --accuracy-tasks --accuracy-n-shots --accuracy-enable-cot "
        "--accuracy-no-enable-cot --accuracy-grader --accuracy-system-prompt "
        "--accuracy-verbose"
    ),
    "this service knob; roles are placed by --run-type and --workers": (
        "--record-processor-service-count --record-processors --api-port --api-host --zmq-host "
        "--zmq-ipc-path --zmq-dual-bind"
    ),
}

UNSUPPORTED: dict[str, str] = {
    flag: reason for reason, flags in _BY_REASON.items() for flag in flags.split()
}
"""What each known but unsupported flag would need, in words that fit after "not supported yet"."""


def reason(flag: str) -> str | None:
    """Return why `flag` (as `--name`) is refused, or None for a flag that nobody knows."""
    return UNSUPPORTED.get(flag)
