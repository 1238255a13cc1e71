"""Run the demo and put what it printed between the marks in README.md.

    python tools/readme_picture.py

The picture in the README is thus always real output: run it again when the output changes.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
BEGIN = "<!-- demo:begin (make readme) -->"
END = "<!-- demo:end -->"
COLUMNS = "100"


def demo_output() -> str:
    """Return what `make demo` prints, plain and 100 columns wide."""
    environ = {**os.environ, "COLUMNS": COLUMNS, "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [str(ROOT / "tools" / "demo.sh"), "artifacts/demo"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"The demo ended with {done.returncode}.\n{done.stdout}{done.stderr}")
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return "\n".join(lines).strip("\n").replace(f"{ROOT}/", "")


def with_picture(text: str, picture: str) -> str:
    """Return the README's `text` with `picture` between the marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        message = f"README.md lacks the marks {BEGIN!r} and {END!r}"
        raise ValueError(message)
    return f"{before}{BEGIN}\n```text\n$ make demo\n{picture}\n```\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_picture(README.read_text(), demo_output()))
