"""Help pages as wide as the terminal, however the sentences are broken in the source."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions


def joined(text: str) -> str:
    """Return a text with a line for each paragraph; lines that are set in stay as they are."""
    lines: list[str] = []
    goes_on = False
    for line in text.split("\n"):
        is_plain = bool(line.strip()) and not line[0].isspace()
        if is_plain and goes_on:
            lines[-1] = f"{lines[-1].rstrip()} {line}"
        else:
            lines.append(line)
        goes_on = is_plain
    return "\n".join(lines)


class JoinedLines:
    """Cyclopts' own pages, with the sentences of descriptions joined first."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """Print a panel of parameters or commands."""
        from cyclopts.help import DefaultFormatter

        for entry in panel.entries:
            _join(entry.description)
        DefaultFormatter()(console, options, panel)

    def render_usage(self, console: "Console", options: "ConsoleOptions", usage: Any) -> None:
        """Print the line of usage."""
        from cyclopts.help import DefaultFormatter

        DefaultFormatter().render_usage(console, options, usage)

    def render_description(
        self, console: "Console", options: "ConsoleOptions", description: Any
    ) -> None:
        """Print what a command is for."""
        from cyclopts.help import DefaultFormatter

        _join(description)
        DefaultFormatter().render_description(console, options, description)


def _join(description: Any) -> None:
    """Join the lines of a text that is printed as it is; another renderable is left alone."""
    from rich.text import Text

    text = getattr(description, "primary_renderable", None)
    if isinstance(text, Text) and "\n" in text.plain:
        description.primary_renderable = Text(joined(text.plain), end=text.end)
