"""Whether requests leave when the schedule says, and whether the schedule is what it claims.

    python -m benchmarks.schedule [--quick] [--write]

Open loop at 200 requests/s, one worker. Arrival lag is the first send less the intended time;
beside it stands a bare timerfd loop at the same rate, run before and after, so that a noisy
machine meets both. Poisson gaps of several seeds are held against the exponential distribution of
the asked rate by the Kolmogorov-Smirnov test (no parameter is fitted), p-value after Stephens
(1970): as drawn, as sent, and as the bare loop keeps the same drawn times.
"""

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import duckdb
from benchmarks.contenders import steelyard_summary
from benchmarks.processes import ToolError, build_server, run_tool, serving
from benchmarks.tables import page, parser, percentile, publish, table

RATE = 200.0
SECONDS = 30.0
RUNS = (("constant", 1), ("poisson", 1), ("poisson", 2), ("poisson", 3))
"""Arrivals and seeds."""
_LOOP = Path(__file__).with_name("timer_loop.py")
_TIMES = "select intended_ns, start_ns from read_parquet(?) order by intended_ns"


def ks_exponential(gaps_s: Sequence[float], rate: float) -> tuple[float, float]:
    """Return the KS distance of gaps to Exp(rate), and its p-value."""
    ordered = sorted(gaps_s)
    count = len(ordered)
    distance = 0.0
    for place, gap in enumerate(ordered):
        share = 1.0 - math.exp(-rate * gap)
        distance = max(distance, share - place / count, (place + 1) / count - share)
    root = math.sqrt(count)
    scaled = (root + 0.12 + 0.11 / root) * distance
    terms = ((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101))
    return distance, min(1.0, max(0.0, 2 * sum(terms)))


def bare_lags_ms(*flags: str) -> list[float]:
    """Return the bare loop's lateness at each of its ticks, in order."""
    run = run_tool((sys.executable, str(_LOOP), *flags), timeout_s=2 * SECONDS + 60)
    return [late / 1e6 for late in json.loads(run.output.splitlines()[-1])]


def bare_times_ns(drawn_ns: Sequence[int], directory: Path) -> list[float]:
    """Return when the bare loop woke up that was given the drawn times."""
    path = directory / "times.json"
    path.write_text(json.dumps([each - drawn_ns[0] for each in drawn_ns]))
    lags_ms = bare_lags_ms("--times", str(path))
    return [each + late * 1e6 for each, late in zip(drawn_ns, lags_ms, strict=True)]


def our_times(
    url: str, arrival: str, seed: int, seconds: float, directory: Path
) -> list[tuple[int, int]]:
    """Run an open loop; return (intended, started) of each request, in order."""
    command = (
        sys.executable, "-m", "steelyard", "profile", "--model", "bench", "--url", url,
        "--request-rate", str(RATE), "--arrival-pattern", arrival, "--workers", "1",
        "--request-count", str(round(RATE * seconds)), "--isl", "16", "--osl", "1",
        "--random-seed", str(seed),
        "--ui", "none", "--fail-on", "", "--artifact-dir", str(directory),
    )  # fmt: skip
    run_tool(command, timeout_s=seconds + 60)
    steelyard_summary(directory, round(RATE * seconds))
    path = str(directory / "profile_export.parquet")
    return [(row[0], row[1]) for row in duckdb.execute(_TIMES, [path]).fetchall()]


def _lags(lags_ms: list[float]) -> tuple[str, ...]:
    ordered = sorted(lags_ms)
    numbers = (f"{percentile(ordered, share):.4f}" for share in (0.5, 0.99, 0.999, 1.0))
    return (f"{len(ordered):,}", *numbers)


def _gaps_s(times_ns: Sequence[float]) -> list[float]:
    ordered = sorted(times_ns)
    return [(b - a) / 1e9 for a, b in pairwise(ordered)]


def _keeping_row(
    name: str, times: list[tuple[int, int]], directory: Path, *, is_random: bool
) -> tuple[str, ...]:
    """Return what the drawn schedule is, and how the sent one keeps to it."""
    drawn, sent = (_gaps_s([each[which] for each in times]) for which in (0, 1))
    drift = abs(sum(sent) / sum(drawn) - 1)
    test = ["", "", ""]
    if is_random:
        bare = _gaps_s(bare_times_ns([each[0] for each in times], directory))
        found = (ks_exponential(gaps, RATE) for gaps in (drawn, sent, bare))
        test = [f"{value:.3f} (D {distance:.4f})" for distance, value in found]
    return (name, f"{1 / (sum(drawn) / len(drawn)):.3f}", f"{drift:.6%}", "<= 0.1 %", *test)


def main() -> None:
    """Run bare loop, all arrivals, bare loop; print the page."""
    arguments = parser(__doc__).parse_args()
    seconds = SECONDS / 10 if arguments.quick else SECONDS
    steady = ("--rate", str(RATE), "--seconds", str(seconds / 2))
    lags: list[tuple[str, ...]] = []
    keeping = []
    with tempfile.TemporaryDirectory() as scratch:
        program = build_server(Path(scratch))
        bare = bare_lags_ms(*steady)
        with serving(program) as server:
            for arrival, seed in RUNS:
                directory = Path(scratch) / f"{arrival}-{seed}"
                times = our_times(server.url, arrival, seed, seconds, directory)
                is_random = arrival == "poisson"
                name = f"{arrival}, seed {seed}" if is_random else arrival
                lags.append((name, *_lags([(start - due) / 1e6 for due, start in times])))
                keeping.append(_keeping_row(name, times, directory, is_random=is_random))
        bare += bare_lags_ms(*steady)
    allowed = max(0.3, 3 * percentile(sorted(bare), 0.99))
    rows = [("bare timerfd loop", *_lags(bare), "")]
    rows += [(f"Steelyard, {name}", *each, f"<= {allowed:.2f}") for name, *each in lags]
    blocks = (
        table(("arrival lag, ms", "sends", "p50", "p99", "p99.9", "max", "target p99"), rows),
        table(
            ("schedule", "drawn requests/s", "drift of the sends", "target",
             "KS p of the drawn gaps (> 0.01)", "of the sent gaps (> 0.01)",
             "of the bare loop's"),
            keeping,
        ),
    )  # fmt: skip
    text = page("Schedule", f"Open loop, {RATE:g} requests/s, one worker.", blocks)
    publish("schedule", text, arguments)


if __name__ == "__main__":
    try:
        main()
    except ToolError as error:
        raise SystemExit(str(error)) from None
