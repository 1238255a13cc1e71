"""Whether a long run stays as it began: memory by role, pace and lateness, minute by minute.

    python -m benchmarks.soak [--minutes 20] [--events 2000] [--quick] [--write]

Open loop, poisson: streams of 32 tokens, 20 ms apart after 100 ms, as many a second as make
`--events` content events a second. PSS of each role is looked at every five seconds; pace, TTFT and
send lag come from the run's own records afterwards. It fails when the sum of PSS in the last
quarter of the run is not within 5 % (or 3 MB) of that in the quarter after its first window.

PSS moves with whoever else maps the same libraries, so let the machine be idle. Beside it stands
the sum of anonymous pages, which nobody else moves: a leak shows there first.
"""

import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median

import duckdb
import psutil
from benchmarks.processes import ToolError, build_server, run_tool, serving, tree
from benchmarks.tables import page, parser, publish, table

MINUTES, EVENTS_PER_S = 20.0, 2000.0
TOKENS, TTFT_MS, ITL_MS = 32, 100, 20
SAMPLE_S = 5.0
SHORT_S, LONG_S = 10, 60
"""Windows of the table: minutes, or ten seconds where a run is too short for minutes."""
FLAT_SHARE, FLAT_MB = 0.05, 3.0
ROLES = {
    "system_controller": "controller",
    "dataset_manager": "dataset",
    "timing_manager": "timing",
    "worker_manager": "worker manager",
    "worker": "worker",
    "records_manager": "records",
    "post_processor_manager": "post-processor",
}
_BY_WINDOW = """
    select (start_ns - $first) // $window as part,
           sum(chunks) / ($window / 1e9),
           quantile_cont((first_token_ns - start_ns) / 1e6, 0.99),
           quantile_cont((start_ns - intended_ns) / 1e6, 0.99)
    from read_parquet($path) where start_ns is not null group by part order by part
"""


def role_of(title: str) -> str:
    """Return the role of a process title, `steelyard worker_0a1b2c3d`; empty for other tools."""
    name, _, service_id = title.partition(" ")
    return ROLES.get(service_id.rpartition("_")[0], "") if name == "steelyard" else ""


def sizes_bytes(pid: int) -> dict[str, int]:
    """Return the memory of a process by kind, as the kernel adds it up; empty once it is gone.

    Source: Linux, Documentation/filesystems/proc.rst, /proc/PID/smaps_rollup.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return {}
    return {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines}


@dataclass
class Watch:
    """PSS by role, each time it is called and enough time has passed since the last look."""

    looks: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    anonymous_mb: list[float] = field(default_factory=list)

    def __call__(self, root: int) -> None:
        """Look, unless it is too early."""
        now_ns = time.monotonic_ns()
        if self.looks and now_ns - self.looks[-1][0] < SAMPLE_S * 1e9:
            return
        found: dict[str, float] = defaultdict(float)
        anonymous_mb = 0.0
        for process in tree(root):
            try:
                role = role_of(" ".join(process.cmdline()))
            except psutil.Error:
                continue  # it ended as we looked
            if role:
                sizes = sizes_bytes(process.pid)
                found[role] += sizes.get("Pss", 0) / 1e6
                anonymous_mb += sizes.get("Anonymous", 0) / 1e6
        if found:
            self.looks.append((now_ns, dict(found)))
            self.anonymous_mb.append(anonymous_mb)


@dataclass(frozen=True)
class Window:
    """A stretch of the run: median memory in MB, and what its requests came to."""

    end_s: int
    pss_mb: Mapping[str, float]
    anonymous_mb: float
    events_per_s: float
    ttft_p99_ms: float
    send_lag_p99_ms: float

    @property
    def sum_mb(self) -> float:
        """All roles."""
        return sum(self.pss_mb.values())

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        roles = (f"{self.pss_mb.get(role, 0):.1f}" for role in ROLES.values())
        return (
            f"{self.end_s / 60:.3g}", *roles, f"{self.sum_mb:.1f}",
            f"{self.anonymous_mb:.2f}", f"{self.events_per_s:,.0f}",
            f"{self.ttft_p99_ms:.2f}", f"{self.send_lag_p99_ms:.3f}",
        )  # fmt: skip


def windows(watch: Watch, records: Path, seconds: float, window_s: int) -> list[Window]:
    """Return the whole windows of the run, from its first send."""
    with duckdb.connect() as database:
        query = "select min(start_ns) from read_parquet($path)"
        (first,) = database.execute(query, {"path": str(records)}).fetchall()[0]
        asked = {"path": str(records), "first": first, "window": window_s * 10**9}
        rows = {int(row[0]): row[1:] for row in database.execute(_BY_WINDOW, asked).fetchall()}
    made = []
    for part in range(int(seconds // window_s)):
        begin_ns = first + part * window_s * 10**9
        seen = [
            (mb, anonymous)
            for (at, mb), anonymous in zip(watch.looks, watch.anonymous_mb, strict=True)
            if 0 <= at - begin_ns < window_s * 10**9
        ]
        looks = [mb for mb, _ in seen]
        if not looks or part not in rows:
            message = f"nothing is known of window {part} of the run"
            raise ToolError(message)
        typical = {role: median(look.get(role, 0.0) for look in looks) for role in ROLES.values()}
        anonymous_mb = median(anonymous for _, anonymous in seen)
        made.append(Window((part + 1) * window_s, typical, anonymous_mb, *rows[part]))
    return made


def growth(sums_mb: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the quarter after the first window, and of the last quarter.

    The first window is a run that is still filling its pools and caches.
    """
    rest = sums_mb[1:] or sums_mb
    quarter = max(1, len(rest) // 4)
    return fmean(rest[:quarter]), fmean(rest[-quarter:])


def require_flat(early_mb: float, late_mb: float) -> None:
    """Refuse memory that grew, or shrank, over the run.

    Raises:
        ToolError: it did.
    """
    if abs(late_mb - early_mb) > max(FLAT_SHARE * early_mb, FLAT_MB):
        message = f"PSS is not flat: {early_mb:.1f} MB early in the run, {late_mb:.1f} MB late"
        raise ToolError(message)


def soak(url: str, folder: Path, seconds: float, rate: float) -> Watch:
    """Run the load and return what its processes held."""
    watch = Watch()
    command = (
        sys.executable, "-m", "steelyard", "profile", "--model", "bench", "--url", url,
        "--streaming", "--request-rate", f"{rate:g}", "--arrival-pattern", "poisson",
        "--benchmark-duration", f"{seconds:g}", "--workers", "1", "--isl", "16",
        "--osl", str(TOKENS), "--ui", "none", "--fail-on", "", "--artifact-dir", str(folder),
    )  # fmt: skip
    run_tool(command, timeout_s=seconds + 120, watch=watch)
    return watch


def run_metrics(folder: Path) -> Mapping[str, dict[str, float]]:
    """Return the run's metrics.

    Raises:
        ToolError: a request failed.
    """
    document = json.loads((folder / "profile_export.json").read_text(encoding="utf-8"))
    metrics: dict[str, dict[str, float]] = document["metrics"]
    if metrics["error_request_count"]["avg"] or metrics["cancelled_request_count"]["avg"]:
        message = f"requests failed: {document['errors']}"
        raise ToolError(message)
    return metrics


def main() -> None:
    """Run, print the page, and fail when memory is not flat."""
    flags = parser(__doc__)
    flags.add_argument("--minutes", type=float, default=MINUTES, help="how long to send")
    flags.add_argument("--events", type=float, default=EVENTS_PER_S, help="content events a second")
    arguments = flags.parse_args()
    seconds = arguments.minutes * 60 / (10 if arguments.quick else 1)
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        server_flags = ("--ttft-ms", str(TTFT_MS), "--itl-ms", str(ITL_MS))
        with serving(build_server(scratch), *server_flags) as server:
            watch = soak(server.url, scratch / "run", seconds, arguments.events / TOKENS)
            server_busy = server.cpu_s() / seconds
        metrics = run_metrics(scratch / "run")
        window_s = LONG_S if seconds >= 5 * LONG_S else SHORT_S
        found = windows(watch, scratch / "run" / "profile_export.parquet", seconds, window_s)
    early_mb, late_mb = growth([window.sum_mb for window in found])
    head = (
        "minute",
        *ROLES.values(),
        "sum",
        "anonymous",
        "events/s",
        "TTFT p99, ms",
        "send lag p99, ms",
    )
    text = page(
        "Soak",
        f"Open loop, poisson, {arguments.events:,.0f} SSE events/s in streams of {TOKENS} for "
        f"{seconds / 60:g} minutes: PSS by role in MB (10^6 bytes), medians of each window.",
        (
            table(head, [window.cells() for window in found]),
            (
                f"Sum of PSS: {early_mb:.1f} MB early, {late_mb:.1f} MB late: "
                f"{late_mb / early_mb:.3f} x."
            ),
            (
                f"{metrics['request_count']['avg']:,.0f} requests, none failed; the server used "
                f"{100 * server_busy:.0f} % of a core."
            ),
        ),
    )
    publish("soak", text, arguments)
    require_flat(early_mb, late_mb)


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        raise SystemExit(str(error)) from None
