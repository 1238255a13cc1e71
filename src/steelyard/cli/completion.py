"""`steelyard completion SHELL`: print a script that completes commands and flags."""

from typing import Annotated, Literal

from cyclopts import App, Parameter

from steelyard.kernel.errors import EXIT_OK, UsageError

app = App(name="completion", help="Print shell completion.", help_format="plaintext")

SHELLS = ("bash", "zsh", "fish")


@app.default
def completion(shell: Annotated[str, Parameter(help="bash, zsh or fish.")] = "bash", /) -> int:
    """Print the completion script of a shell; for bash: `source <(steelyard completion bash)`.

    Raises:
        UsageError: no script can be made for that shell.
    """
    if shell not in SHELLS:
        raise UsageError("No completion for this shell", got=shell, expected=", ".join(SHELLS))
    from steelyard.cli.main import build_app

    wanted: Literal["bash", "zsh", "fish"] = shell  # type: ignore[assignment]
    print(build_app().generate_completion(prog_name="steelyard", shell=wanted))
    return EXIT_OK
