"""The flags by which every command of `steelyard fleet` finds its service."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from steelyard.app.fleet.client import DEFAULT_DIRECTORY, Client
from steelyard.kernel.errors import UsageError


def flag(name: str, text: str, *, default: bool = False) -> Any:
    """Return what a field of a group of flags is called, and its help."""
    return Parameter(name=name, negative="", show_default=default, help=text)


@Parameter(name="*")
@dataclass(frozen=True)
class Reach:
    """Where the service is, and which key it is shown."""

    url: Annotated[
        str | None,
        Parameter(name="--url", show_default=False, help="URL of the service, such as "
                  "http://127.0.0.1:7600; STEELYARD_FLEET_URL, or what serve wrote, without it."),
    ] = None  # fmt: skip
    key: Annotated[
        str | None,
        Parameter(name="--key", show_default=False, help="Key; better put into "
                  "STEELYARD_FLEET_KEY, as others see command lines."),
    ] = None  # fmt: skip
    directory: Annotated[
        str, Parameter(name="--dir", help="Directory of the fleet, where serve wrote both.")
    ] = DEFAULT_DIRECTORY
    ca_file: Annotated[
        str | None,
        Parameter(name="--ca-file", show_default=False, help="Certificates that an https:// "
                  "service is believed by, beside the system's; STEELYARD_FLEET_CA."),
    ] = None  # fmt: skip

    def client(self) -> Client:
        """Return a client of the service; leaving it as a context lets go of the connection.

        Raises:
            UsageError: nothing says where it is.
        """
        return Client(self.url, self.key, directory=self.directory, ca_file=self.ca_file)


ANYWHERE = Reach()
"""What is reached where no flag says where: what the environment or the directory names."""

JsonFlag = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON.")
]


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_list(
    found: Sequence[Any], page: Callable[[Sequence[Any]], str], *, as_json: bool
) -> None:
    """Print what was found, as a page or as JSON."""
    if as_json:
        print_json(list(found))
    else:
        print(page(found))


def pairs(words: Sequence[str], flag: str) -> dict[str, str]:
    """Return `KEY=VALUE` words as a dict.

    Raises:
        UsageError: one is none.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} takes a name and a value", got=word, expected="KEY=VALUE")
        found[name] = value
    return found


def json_values(texts: dict[str, str]) -> dict[str, Any]:
    """Return texts as the JSON values that they are, or as texts."""
    return {name: json_value(text) for name, text in texts.items()}


def json_value(text: str) -> Any:
    """Return the JSON value that a text is, or the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def say(text: str) -> None:
    """Print what is no output, for a person who waits."""
    print(text, file=sys.stderr, flush=True)
