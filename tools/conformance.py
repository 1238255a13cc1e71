"""Counts what `conformance.toml` says of the reference documents, and extracts their words.

tools/conformance.py                  counts by document and status, and what is planned
tools/conformance.py --words FOLDER   the words of the documents in FOLDER, as JSON
"""

import argparse
import json
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

INVENTORY = Path(__file__).resolve().parent.parent / "conformance.toml"

_SHAPES = (
    r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b",  # snake_case
    r"\b_[a-z][a-z0-9_]*\b",
    r"\b[A-Z][a-z0-9]*(?:[A-Z][A-Za-z0-9]*)+\b",  # CamelCase
    r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b",  # SHOUTED_WORDS
    r"\b[A-Z]{3,}\b",
)
_PLACES = (
    r"\bdef (\w+)",
    r"\bclass (\w+)",
    r"\.([A-Za-z_]\w*)\(",
    r"\b([a-z]\w*)=",
    r"`([A-Za-z_]\w*)(?:\(\))?`",
    r"^\s*-?\s*([a-z][a-z_]+):(?:\s|$)",
    r"@(\w+)",
    r'"(\w+)":',
)
_FLAG = r"--[a-z][a-z-]+"
_TARGET = r"\bmake ([a-z][a-z-]+)"
_PART = re.compile(r"--[a-z][a-z-]+|make [a-z-]+|\w+")


def words_of(text: str) -> set[str]:
    """Return what a document may mean as a name: identifiers by shape or place, flags, targets."""
    found = {word for shape in _SHAPES for word in re.findall(shape, text)}
    found |= {word for place in _PLACES for word in re.findall(place, text, re.MULTILINE)}
    found |= set(re.findall(_FLAG, text))
    return found | {f"make {target}" for target in re.findall(_TARGET, text)}


def words_in(folder: Path) -> dict[str, list[str]]:
    """Return the words of each document `NNN_*.txt` in `folder`, sorted, by its three digits."""
    return {
        path.name[:3]: sorted(words_of(path.read_text(encoding="utf-8")))
        for path in sorted(folder.glob("[0-9][0-9][0-9]_*.txt"))
    }


def parts_of(name: str) -> set[str]:
    """Return the words that an inventory name accounts for: `Plugin.invoke_hook` is two."""
    return set(_PART.findall(name)) | {name}


def load(path: Path = INVENTORY) -> dict[str, Any]:
    """Return the inventory."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def main() -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--words", type=Path, metavar="FOLDER")
    folder = parser.parse_args().words
    if folder is not None:
        json.dump(words_in(folder), sys.stdout, indent=1)
        return 0
    entries = load()["entries"]
    print("document  works  planned")
    for document in sorted({entry["document"] for entry in entries}):
        counts = Counter(e["status"] for e in entries if e["document"] == document)
        print(f"{document:<9} {counts['works']:>5}  {counts['planned']:>7}")
    statuses = Counter(entry["status"] for entry in entries)
    print(f"{'all':<9} {statuses['works']:>5}  {statuses['planned']:>7}")
    planned = Counter(entry["part"] for entry in entries if entry["status"] == "planned")
    print("planned by part: " + ", ".join(f"{part} {n}" for part, n in planned.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
