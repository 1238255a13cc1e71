"""Writes the reference pages from the code, or checks that they are still true.

python tools/generate_docs.py [cli|config|environment|plugins|metrics ...] [--check]
"""

import argparse
import difflib
import sys
from collections.abc import Callable
from pathlib import Path

from steelyard.app.config.reference import config_page, environment_page, plugins_page
from steelyard.app.metrics_reference import metrics_page
from steelyard.cli.reference import cli_page
from steelyard.runtime.plugin_host import PluginHost

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"

PAGES: dict[str, Callable[[], str]] = {
    "cli": cli_page,
    "config": config_page,
    "environment": environment_page,
    "plugins": lambda: plugins_page(PluginHost.standard().specs()),
    "metrics": lambda: metrics_page(PluginHost.standard()),
}


def stale(name: str, directory: Path) -> list[str]:
    """Return the difference between a page on disk and the page that the code makes."""
    path = directory / f"{name}.md"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    new = PAGES[name]()
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{path.name} on disk", "from the code", lineterm=""
    )
    return list(lines)


def main(argv: list[str] | None = None) -> int:
    """Write or check pages; return 1 when a checked page is stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pages", nargs="*", choices=[[], *PAGES], help="all pages by default")
    parser.add_argument("--check", action="store_true", help="write nothing, show what differs")
    parser.add_argument("--directory", type=Path, default=REFERENCE, help="where the pages lie")
    options = parser.parse_args(argv)
    names = options.pages or list(PAGES)
    if not options.check:
        options.directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            (options.directory / f"{name}.md").write_text(PAGES[name](), encoding="utf-8")
            print(f"wrote {name}.md")
        return 0
    differences = [line for name in names for line in stale(name, options.directory)]
    if differences:
        print("\n".join(differences[:60]))
        print("The reference pages are stale; write them again: make docs", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
