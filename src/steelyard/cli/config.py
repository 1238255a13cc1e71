"""`steelyard config`: write, check and expand configuration files, and print their schema."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from steelyard.cli.flags import with_config_flags
from steelyard.kernel.errors import EXIT_OK, UsageError

app = App(
    name="config",
    help="Write, check and expand configuration files.",
    help_format="plaintext",
)

File = Annotated[Path, Parameter(help="A configuration, as YAML.")]


@app.command
def init(
    path: Annotated[
        Path, Parameter(help="Where to write; `-` prints.", allow_leading_hyphen=True)
    ] = Path("steelyard.yaml"),
    /,
    *,
    force: Annotated[bool, Parameter(help="Replace a file that is there.", negative="")] = False,
) -> int:
    """Write a commented configuration that runs as it is.

    Raises:
        UsageError: the file exists and --force is not given, or it can't be written.
    """
    from steelyard.app.config.template import STARTER
    from steelyard.runtime.files import write_atomic

    if str(path) == "-":
        print(STARTER, end="")
        return EXIT_OK
    if path.exists() and not force:
        raise UsageError(f"{path} exists already", next_step="Choose another path, or use --force.")
    write_atomic(path, STARTER.encode())
    print(f"Wrote {path}. Check it: steelyard config validate {path}. Run it: steelyard -f {path}")
    return EXIT_OK


@app.command
def validate(file: File, /) -> int:
    """Check a configuration; every mistake is a line with file, line and column.

    What is right is told phase by phase.

    Raises:
        ConfigError: the file has mistakes.
    """
    from steelyard.app.config import load_plan
    from steelyard.app.config.describe import phase_line

    plan = load_plan(
        config_path=file,
        flags={},
        environ=os.environ,
        now_wall_ns=time.time_ns(),
        entropy=os.urandom(8),
    )
    phases = len(plan.phases)
    print(f"{file}: no mistakes ({phases} phase{'s' if phases > 1 else ''}).")
    for phase in plan.phases:
        print(f"  {phase_line(phase)}")
    return EXIT_OK


@app.command
@with_config_flags(file=File)
def expand(file: Path, /, **words: Any) -> int:
    """Print a configuration with every default resolved, as YAML; flags win over the file.

    Raises:
        ConfigError: the file or a flag has mistakes.
    """
    import yaml

    from steelyard.app.config import load_plan
    from steelyard.app.config.template import as_config
    from steelyard.cli.secret_flags import take_secrets

    taken = take_secrets({k: v for k, v in words.items() if v is not None}, None)
    plan = load_plan(
        config_path=file,
        flags=taken.flags,
        environ=taken.environment(os.environ),
        now_wall_ns=time.time_ns(),
        entropy=os.urandom(8),
    )
    text = yaml.safe_dump(as_config(plan), sort_keys=False, allow_unicode=True)
    sys.stdout.write(text)
    return EXIT_OK


@app.command
def schema() -> int:
    """Print the JSON Schema of configuration files, for editors and checkers."""
    from steelyard.app.config import BenchmarkConfig

    print(json.dumps(BenchmarkConfig.model_json_schema(), indent=2))
    return EXIT_OK
