"""What a person sees of a fleet: tables, a task, its history."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from steelyard.cli.track_pages import plain_table
from steelyard.kernel.units import NS_PER_S

_COLOURS = {
    "completed": "32", "alive": "32", "running": "36", "leased": "36", "failed": "31",
    "dead-letter": "31", "cancelled": "35", "disconnected": "33",
}  # fmt: skip
_SHOWN_MAX = 60
_CONTROL = dict.fromkeys((*range(9), *range(11, 32), 127), "?")


def coloured(word: str) -> str:
    """Return a state in its colour, where a terminal shows it and nobody minds."""
    colour = _COLOURS.get(word)
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return word
    return f"\x1b[{colour}m{word}\x1b[0m"


def time_text(at_ns: int) -> str:
    """Return Unix time as UTC, a dash for none."""
    if not at_ns:
        return "-"
    return datetime.fromtimestamp(at_ns / NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S")


def clean(text: str, most: int = _SHOWN_MAX) -> str:
    """Return a text on one line without what would move a terminal's cursor."""
    line = " ".join(text.split()).translate(_CONTROL)
    return line if len(line) <= most else line[: most - 3] + "..."


def tasks_page(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of tasks."""
    if not tasks:
        return "No tasks. Submit one: steelyard fleet submit -- echo hello"
    rows = []
    for task in tasks:
        spec = task["spec"]
        took = _seconds(task["started_ns"], task["ended_ns"])
        rows.append([
            spec["task_id"], clean(spec["name"], 30), spec["kind"], task["state"],
            spec["user"], spec["project"], spec["priority"], time_text(spec["submitted_ns"]),
            took, task["worker_id"], clean(task["reason"] or _error(task), 50),
        ])  # fmt: skip
    headings = [
        "TASK", "NAME", "KIND", "STATE", "USER", "PROJECT", "PRIORITY", "SUBMITTED (UTC)",
        "SECONDS", "WORKER", "REASON",
    ]  # fmt: skip
    return _without_empty(headings, rows)


def task_page(task: Mapping[str, Any], attempts: Sequence[Mapping[str, Any]]) -> str:
    """Return all that is known of a task."""
    spec, outcome = task["spec"], task["outcome"] or {}
    needs = {k: v for k, v in spec["requirements"].items() if v}
    facts = {
        "task": spec["task_id"], "name": spec["name"], "kind": spec["kind"],
        "state": coloured(task["state"]), "reason": task["reason"], "user": spec["user"],
        "project": spec["project"], "priority": spec["priority"] or "",
        "submitted": time_text(spec["submitted_ns"]), "started": time_text(task["started_ns"]),
        "ended": time_text(task["ended_ns"]), "worker": task["worker_id"],
        "needs": json.dumps(needs, ensure_ascii=False) if needs else "",
        "depends on": ", ".join(spec["depends_on"]), "endpoint": spec["endpoint"],
        "payload": json.dumps(spec["payload"], ensure_ascii=False)[:2000],
        "exit code": outcome.get("exit_code"), "error": outcome.get("error", ""),
    }  # fmt: skip
    shown = {key: value for key, value in facts.items() if value not in ("", None, "-")}
    lines = [
        f"{key:<11}{value if key == 'state' else _safe(str(value))}" for key, value in shown.items()
    ]
    if outcome.get("result") is not None:
        text = json.dumps(outcome["result"], indent=2, ensure_ascii=False)
        lines += ["result", *(f"  {_safe(line)}" for line in text.splitlines()[:60])]
    if attempts:
        rows = [
            [
                one["attempt"], one["worker_id"], time_text(one["started_ns"]),
                _seconds(one["started_ns"], one["ended_ns"]),
                (one["outcome"] or {}).get("ending", "under way"),
                clean((one["outcome"] or {}).get("error", "")),
            ]
            for one in attempts
        ]  # fmt: skip
        headings = ["ATTEMPT", "WORKER", "STARTED (UTC)", "SECONDS", "ENDING", "ERROR"]
        lines += ["", _without_empty(headings, rows)]
    return "\n".join(lines)


def workers_page(workers: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of workers."""
    if not workers:
        return "No workers."
    rows = []
    for worker in workers:
        has = worker["capabilities"]
        gpus = ", ".join(gpu["model"] or "GPU" for gpu in has["gpus"])
        state = "draining" if worker["draining"] else worker["state"]
        rows.append([
            worker["worker_id"], state, f"{len(worker['holds'])}/{worker['slots']}",
            has["cpu_cores"], has["memory_gb"], clean(gpus, 40),
            ",".join(has["accelerators"]), worker["completed"], worker["failed"],
            time_text(worker["heard_ns"]), clean(worker["reason"]),
        ])  # fmt: skip
    headings = [
        "WORKER", "STATE", "SLOTS", "CORES", "MEMORY GB", "GPUS", "ACCELERATORS", "COMPLETED",
        "FAILED", "HEARD (UTC)", "REASON",
    ]  # fmt: skip
    return _without_empty(headings, rows)


def schedulers_page(schedulers: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of schedulers; a star marks the one that chooses."""
    rows = [
        [
            "*" if one["active"] else "", one["name"], clean(one["description"], 80),
            json.dumps(one["options"]) if one["options"] else "", clean(one["problem"]),
        ]
        for one in schedulers
    ]  # fmt: skip
    return _without_empty(["", "SCHEDULER", "WHAT IT DOES", "OPTIONS", "PROBLEM"], rows, kept=2)


def keys_page(keys: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of keys."""
    rows = [
        [
            key["key_id"], clean(key["name"]), key["role"], key["user"],
            ",".join(key["projects"]), ",".join(key["scopes"]), time_text(key["created_ns"]),
            time_text(key["expires_ns"]), time_text(key["revoked_ns"]),
        ]
        for key in keys
    ]  # fmt: skip
    headings = [
        "KEY", "NAME", "ROLE", "USER", "PROJECTS", "SCOPES", "CREATED (UTC)", "EXPIRES", "REVOKED",
    ]  # fmt: skip
    return _without_empty(headings, rows)


def decisions_page(decisions: Sequence[Mapping[str, Any]]) -> str:
    """Return what schedulers proposed, a line each."""
    rows = [
        [
            time_text(one["at_ns"]), one["scheduler"], one["worker_id"],
            "taken" if one["taken"] else "refused", clean("; ".join(one["reasons"]), 120),
        ]
        for one in decisions
    ]  # fmt: skip
    return _without_empty(["AT (UTC)", "SCHEDULER", "WORKER", "", "REASONS"], rows, kept=5)


def _without_empty(headings: list[str], rows: list[list[Any]], kept: int = 1) -> str:
    """Return a table without the columns that say nothing."""
    used = [
        place
        for place in range(len(headings))
        if place < kept or any(row[place] not in ("", None, "-", 0) for row in rows)
    ]
    return plain_table([headings[n] for n in used], [[row[n] for n in used] for row in rows])


def _seconds(started_ns: int, ended_ns: int) -> float | None:
    return round((ended_ns - started_ns) / NS_PER_S, 3) if started_ns and ended_ns else None


def _error(task: Mapping[str, Any]) -> str:
    return str((task["outcome"] or {}).get("error", ""))


def _safe(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
