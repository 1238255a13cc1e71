"""What a person sees of a fleet: tables, a task, its history."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from steelyard.cli.track_pages import plain_table
from steelyard.kernel.units import NS_PER_S
from steelyard.runtime.fleet.local_processes import signal_name

_COLOURS = {
    "completed": "32", "alive": "32", "running": "36", "leased": "36", "failed": "31",
    "dead-letter": "31", "cancelled": "35", "disconnected": "33",
}  # fmt: skip
_SHOWN_MAX = 60
_RESULT_LINES_MAX = 60
_DECISIONS_MAX = 5
_CONTROL = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "?")


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
            spec["task_id"], clean(spec["name"], 30), _safe(spec["kind"]), task["state"],
            _safe(spec["user"]), _safe(spec["project"]), spec["priority"],
            time_text(spec["submitted_ns"]),
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
        "ended": time_text(task["ended_ns"]), "deadline": _deadline_text(task),
        "worker": task["worker_id"],
        "needs": json.dumps(needs, ensure_ascii=False) if needs else "",
        "depends on": ", ".join(spec["depends_on"]), "endpoint": spec["endpoint"],
        "payload": json.dumps(spec["payload"], ensure_ascii=False)[:2000],
        "exit code": _exit_text(outcome), "error": outcome.get("error", ""),
    }  # fmt: skip
    shown = {key: value for key, value in facts.items() if value not in ("", None, "-")}
    lines = [
        f"{key:<11}{value if key == 'state' else _safe(str(value))}" for key, value in shown.items()
    ]
    if outcome.get("result") is not None:
        text = json.dumps(outcome["result"], indent=2, ensure_ascii=False).splitlines()
        lines += ["result", *(f"  {_safe(line)}" for line in text[:_RESULT_LINES_MAX])]
        if len(text) > _RESULT_LINES_MAX:
            lines.append(f"  ... {len(text) - _RESULT_LINES_MAX} more lines: --json shows all")
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
    if task["state"] == "pending":
        lines += ["", f"What it waits for: steelyard fleet why {spec['task_id']}"]
    return "\n".join(lines)


def why_page(
    task: Mapping[str, Any], reasons: Sequence[str], decisions: Sequence[Mapping[str, Any]]
) -> str:
    """Return why a task is where it is, and the latest decisions with all their reasons."""
    spec = task["spec"]
    name = f" ({clean(spec['name'])})" if spec["name"] else ""
    lines = [f"{spec['task_id']}{name}: {coloured(task['state'])}"]
    lines += [f"  {_safe(reason)}" for reason in reasons]
    if len(decisions) > _DECISIONS_MAX:
        lines += ["", f"{len(decisions) - _DECISIONS_MAX} earlier decisions: --json shows all"]
    for one in decisions[-_DECISIONS_MAX:]:
        what = "gave it to" if one["taken"] else "proposed, and was refused,"
        lines += [
            "",
            f"{time_text(one['at_ns'])} UTC  {one['scheduler']} {what} {one['worker_id']}",
        ]
        lines += [f"  {_safe(reason)}" for reason in one["reasons"]]
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
            has["cpu_cores"], round(has["memory_gb"], 1), clean(gpus, 40),
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
            key["key_id"], clean(key["name"]), key["role"], _safe(key["user"]),
            _safe(",".join(key["projects"])), ",".join(key["scopes"]), time_text(key["created_ns"]),
            time_text(key["expires_ns"]), time_text(key["revoked_ns"]),
        ]
        for key in keys
    ]  # fmt: skip
    headings = [
        "KEY", "NAME", "ROLE", "USER", "PROJECTS", "SCOPES", "CREATED (UTC)", "EXPIRES", "REVOKED",
    ]  # fmt: skip
    return _without_empty(headings, rows)


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


def _exit_text(outcome: Mapping[str, Any]) -> str:
    code = outcome.get("exit_code")
    if code is None or code >= 0:
        return "" if code is None else str(code)
    return f"none: ended by {signal_name(-code)}"


def _deadline_text(task: Mapping[str, Any]) -> str:
    deadline_ns, ended_ns = task["spec"].get("deadline_ns", 0), task["ended_ns"]
    if deadline_ns and ended_ns > deadline_ns:
        late_s = (ended_ns - deadline_ns) / NS_PER_S
        return f"{time_text(deadline_ns)}, missed by {late_s:.3g} s"
    return time_text(deadline_ns)


def _error(task: Mapping[str, Any]) -> str:
    return str((task["outcome"] or {}).get("error", ""))


def _safe(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
