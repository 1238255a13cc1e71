"""The commented file of `steelyard config init`, and a plan written as such a file again."""

from typing import Any

import msgspec

from steelyard.domain.bench.plan import (
    DatasetPlan,
    EndpointPlan,
    KubernetesPlan,
    PhasePlan,
    Plan,
    RemotePlan,
    SchedulePlan,
    TrackPlan,
)

STARTER = """\
# A plan for `steelyard --config FILE`. Flags and STEELYARD_* variables win over this file.
# Every key with its meaning: docs/reference/config.md, or `steelyard config schema`.
# ${NAME} and ${NAME:-default} are filled from the environment.

models: [steelyard-mock]

endpoint:
  type: chat                      # an endpoint plugin; see: steelyard plugins --kind endpoint
  # urls: [http://127.0.0.1:8000] # without a URL, the embedded simulated server is measured
  streaming: true                 # needed for time to first token
  # api_key_env: MY_KEY           # name of the variable that holds the key
  # headers: {X-Team: bench}
  # extra_inputs: {temperature: 0}

input:
  isl_mean: 128                   # tokens of a synthetic prompt
  isl_stddev: 0
  osl_mean: 32                    # tokens asked for
  # turns: {mean: 3, delay_mean: 500}  # conversations; delays in ms
  # file: prompts.jsonl           # instead of synthetic prompts; relative to this file
  random_seed: 42

warmup:
  request_count: 4                # kept out of the metrics

load:
  concurrency: 4                  # closed loop; or an open loop:
  # request_rate: 20
  # request_rate_ramp: 10s        # grows to it; ramp_strategy: linear, exponential, poisson
  # arrival_pattern: poisson      # constant, poisson, gamma
  request_count: 40
  # duration: 60s
  # grace_period: 30s

# Any number of named phases, instead of `warmup` and `load`:
# phases:
#   - {name: warmup, concurrency: 2, request_count: 4}
#   - {name: low, request_rate: 5, duration: 30s}
#   - {name: high, request_rate: 50, duration: 30s}

# goodput: {time_to_first_token: 200, inter_token_latency: 20}

output:
  # artifact_dir: artifacts/first
  export_level: summary           # summary, records, raw
  fail_on: [INVALID]              # verdicts that make the exit code 1

service:
  run_type: process               # a titled process per role; or inline, remote, ray, k8s
  workers: 1

ui: simple                        # or none

# plugins:
#   phase_hooks:
#     - name: logging
"""


def as_config(plan: Plan) -> dict[str, Any]:
    """Return the configuration, every default resolved, that makes `plan` again (its id aside).

    A directory that was named after the run stays out, so that another run gets its own.
    """
    named_after_run = plan.artifact_dir.endswith(f"/{plan.run_id}")
    dataset = plan.dataset
    config = {
        "models": list(plan.models),
        "endpoint": _endpoint(plan.endpoint),
        "input": _input(dataset, plan.seed),
        "tokenizer": {
            "name": dataset.tokenizer,
            "apply_chat_template": dataset.chat_template,
            "options": dataset.tokenizer_options,
        },
        "phases": [_phase(phase) for phase in plan.phases],
        "goodput": plan.goodput,
        "output": {
            "artifact_dir": None if named_after_run else plan.artifact_dir,
            "export_level": plan.export_level,
            "exporters": list(plan.exporters),
            "fail_on": list(plan.fail_on),
            "slice_duration": plan.slice_s,
            "http_trace": plan.http_trace,
            "trace_timing": plan.show_trace_timing,
        },
        "track": _track(plan.track),
        "otel": {} if plan.otel is None else msgspec.to_builtins(plan.otel),
        "engine": {} if plan.engine is None else msgspec.to_builtins(plan.engine),
        "kubernetes": _kubernetes(plan.kubernetes),
        "remote": _remote(plan.remote),
        "service": {
            "run_type": plan.run_type,
            "log_level": plan.log_level,
            "workers": plan.workers,
        },
        "ui": plan.ui,
        "plugins": {
            "directories": list(plan.options.get("plugin_dirs", ())),
            "phase_hooks": [_use(choice) for choice in plan.phase_hooks],
            "post_processors": [_use(choice) for choice in plan.post_processors],
        },
    }
    return {name: _without_none(section) for name, section in config.items()}


def _endpoint(endpoint: EndpointPlan) -> dict[str, Any]:
    options = {k: v for k, v in endpoint.options.items() if k != "max_tokens_field"}
    legacy = endpoint.options.get("max_tokens_field")
    return {
        "type": endpoint.type,
        "urls": list(endpoint.urls),
        "path": endpoint.path,
        "streaming": endpoint.streaming,
        "url_strategy": endpoint.url_strategy,
        "transport": endpoint.transport,
        "request_timeout": endpoint.request_timeout_s,
        "connect_timeout": endpoint.connect_timeout_s,
        "first_byte_timeout": endpoint.first_byte_timeout_s,
        "idle_timeout": endpoint.idle_timeout_s,
        "connection_reuse": endpoint.connection_reuse,
        "use_server_token_count": endpoint.use_server_token_count,
        "use_legacy_max_tokens": None if legacy is None else legacy == "max_tokens",
        "insecure": endpoint.insecure,
        "ca_file": endpoint.ca_file,
        "api_key_env": endpoint.api_key_env,
        "headers": dict(endpoint.headers),
        "extra_inputs": endpoint.extra_inputs,
        "options": options,
    }


def _input(dataset: DatasetPlan, seed: int) -> dict[str, Any]:
    return {
        "type": dataset.type,
        "file": dataset.path or None,
        "entries": dataset.entries or None,
        "sampling": dataset.sampling,
        "isl_mean": dataset.isl_mean,
        "isl_stddev": dataset.isl_stddev,
        "osl_mean": dataset.osl_mean,
        "osl_stddev": dataset.osl_stddev,
        "random_seed": seed,
        "turns": {
            "mean": dataset.turns_mean,
            "stddev": dataset.turns_stddev,
            "delay_mean": dataset.turn_delay_mean_ms,
            "delay_stddev": dataset.turn_delay_stddev_ms,
            "delay_ratio": dataset.turn_delay_ratio,
        },
        "schedule": _schedule(dataset.schedule),
        "options": dataset.options,
    }


def _track(track: TrackPlan | None) -> dict[str, Any]:
    if track is None:
        return {}
    known: dict[str, Any] = msgspec.to_builtins(track)
    return {**known, "name": track.name or None, "directory": track.directory or None}


def _kubernetes(given: KubernetesPlan | None) -> dict[str, Any]:
    return {} if given is None else msgspec.to_builtins(given)


def _remote(given: RemotePlan | None) -> dict[str, Any]:
    if given is None:
        return {}
    return {
        "listen": given.listen or None,
        "advertise": given.advertise or None,
        "join_file": given.join_file or None,
        "join_timeout": given.join_timeout_s,
    }


def _use(choice: Any) -> dict[str, Any]:
    return {"name": choice.name, "config": choice.config}


def _schedule(schedule: SchedulePlan | None) -> dict[str, Any] | None:
    if schedule is None:
        return None
    return {
        "auto_offset": schedule.auto_offset,
        "start_offset": schedule.start_ms,
        "end_offset": schedule.end_ms,
    }


def _phase(phase: PhasePlan) -> dict[str, Any]:
    rated = phase.request_rate is not None
    ramps = phase.request_rate_ramp_s, phase.concurrency_ramp_s, phase.prefill_concurrency_ramp_s
    series = [{"time_s": time_s, "qps": rate} for time_s, rate in phase.rate_series]
    return {
        "name": phase.name,
        "kind": phase.kind,
        "concurrency": phase.concurrency,
        "concurrency_ramp": phase.concurrency_ramp_s or None,
        "prefill_concurrency": phase.prefill_concurrency,
        "prefill_concurrency_ramp": phase.prefill_concurrency_ramp_s or None,
        "request_rate": None if series else phase.request_rate,
        "request_rate_ramp": phase.request_rate_ramp_s or None,
        "request_rate_series": series or None,
        "ramp_strategy": phase.ramp if any(ramps) else None,
        "arrival_pattern": phase.arrival if rated else None,
        "arrival_smoothness": phase.smoothness if rated and phase.arrival == "gamma" else None,
        "request_count": phase.request_count,
        "sessions": phase.session_count,
        "duration": phase.duration_s,
        "grace_period": phase.grace_s if phase.duration_s is not None else None,
        "fixed_schedule": phase.fixed_schedule or None,
        "cancellation_rate": round(100 * phase.cancellation_rate, 9) or None,
        "cancellation_delay": phase.cancellation_delay_s or None,
        "options": None if phase.fixed_schedule else phase.options or None,
    }


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value
