"""The journal of a run: append-only, checked, one writer per file, readable after any crash."""

from pathlib import Path

from steelyard.runtime.journal_reader import JournalReader, JournalTail, go_on
from steelyard.runtime.journal_stream import OPENED_EVENT
from steelyard.runtime.journal_writer import FsyncPolicy, JournalWriter

__all__ = [
    "OPENED_EVENT",
    "FsyncPolicy",
    "JournalReader",
    "JournalTail",
    "JournalWriter",
    "go_on",
    "journal_directory",
]


def journal_directory(artifact_dir: Path) -> Path:
    """Return where the journal of the run with this artifact directory lies."""
    return artifact_dir / "journal"
