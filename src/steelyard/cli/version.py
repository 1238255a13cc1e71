"""`steelyard version`: the versions a bug report needs."""

import platform
from typing import Annotated

from cyclopts import App, Parameter

from steelyard import __version__
from steelyard.kernel.errors import EXIT_OK

app = App(name="version", help="Print the version.", help_format="plaintext")


Verbose = Annotated[bool, Parameter(name=("--verbose", "-v"), negative="")]


@app.default
def version(
    *, verbose: Annotated[bool, Parameter(name=("--verbose", "-v"), negative="")] = False
) -> int:
    """Print the version.

    Args:
        verbose: also print Python's version and the platform.
    """
    print(f"steelyard {__version__}")
    if verbose:
        print(f"python {platform.python_version()} on {platform.platform()}")
    return EXIT_OK
