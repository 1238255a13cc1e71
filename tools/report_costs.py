"""Print what Steelyard costs before it measures anything: disk, `import steelyard`, `--help`.

    python tools/report_costs.py [--python PATH] [--size]

`--python` names the interpreter of the environment to look at (this one, if left out); `--size`
adds the size of everything installed there, which is a core installation's only in an environment
that holds nothing else.
"""

import argparse
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

BYTES_PER_MB = 1_000_000
REPEATS = 7

_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
_BARE = "pass"
_IMPORT = "import steelyard"
_HELP = "import sys; sys.argv[1:] = ['--help']; from steelyard.cli.main import main; main()"


def site_packages(python: str) -> Path:
    """Return where `python` keeps what pip installed."""
    if python == sys.executable:
        return Path(sysconfig.get_path("purelib"))
    done = subprocess.run([python, "-c", _SITE], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def installed_bytes(site: Path) -> tuple[int, int]:
    """Return the bytes of all files below `site` without pip and setuptools: packages, bytecode.

    Bytecode is what Python compiles at installation (`pip --no-compile` leaves it out).
    """
    installers = ("pip", "setuptools", "_distutils_hack", "pkg_resources", "distutils-precedence")
    packages = bytecode = 0
    for path in site.rglob("*"):
        top = path.relative_to(site).parts[0]
        if not path.is_file() or path.is_symlink() or top.startswith(installers):
            continue
        if path.suffix == ".pyc":
            bytecode += path.stat().st_size
        else:
            packages += path.stat().st_size
    return packages, bytecode


def best_ms(python: str, code: str) -> float:
    """Return the shortest of `REPEATS` runs of `code` in a new interpreter, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        subprocess.run([python, "-c", code], capture_output=True, check=True)
        times.append((time.perf_counter() - begin) * 1e3)
    return min(times)


def main() -> None:
    """Print one line per cost; times are those beyond starting the bare interpreter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--size", action="store_true")
    options = parser.parse_args()
    if options.size:
        packages, bytecode = installed_bytes(site_packages(options.python))
        print(
            f"core installation      {packages / BYTES_PER_MB:7.1f} MB  (bound: 200 MB;"
            f" compiled bytecode {bytecode / BYTES_PER_MB:.1f} MB more)"
        )
    bare = best_ms(options.python, _BARE)
    for label, code, bound in (("import steelyard", _IMPORT, 50), ("steelyard --help", _HELP, 150)):
        spent = best_ms(options.python, code) - bare
        print(f"{label:<22} {spent:7.1f} ms  (bound: {bound} ms; bare interpreter {bare:.1f} ms)")


if __name__ == "__main__":
    main()
