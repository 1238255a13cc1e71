"""The flags by which every command of `steelyard fleet` finds its service."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from steelyard.app.fleet.client import DEFAULT_DIRECTORY, Client
from steelyard.kernel.errors import UsageError


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

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Yield a client of the service.

        Raises:
            UsageError: nothing says where it is.
        """
        with Client(self.url, self.key, directory=self.directory, ca_file=self.ca_file) as client:
            yield client


JsonFlag = Annotated[
    bool, Parameter(name="--json", negative="", show_default=False, help="Print JSON.")
]


def reached(reach: Reach | None) -> Reach:
    """Return the flags, those of nobody where none was given."""
    return reach if reach is not None else Reach()


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


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
    values: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def say(text: str) -> None:
    """Print what is no output, for a person who waits."""
    print(text, file=sys.stderr, flush=True)
