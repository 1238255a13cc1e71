"""Takes secrets out of flags before anything keeps them: a plan only names their variables."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steelyard.app.config.endpoint import API_KEY_ENV
from steelyard.app.config.parsing import parse_headers
from steelyard.domain.bench.headers import variables_in
from steelyard.domain.bench.redact import HIDDEN, redacted_text
from steelyard.kernel.secret_names import is_secret_name

SECRET_PREFIX = "STEELYARD_SECRET_"  # noqa: S105  the prefix of a variable's name


@dataclass(slots=True)
class Taken:
    """Flags without secrets, and the secrets by the variables that now hold them."""

    flags: dict[str, Any]
    api_key: str | None = None
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return `environ` with the secrets in it."""
        return {**environ, **self.variables}

    def command_line(self, argv: Sequence[str]) -> str:
        """Return `argv` as one line of shell, every secret hidden."""
        words = []
        for word in argv:
            for secret in sorted(self.variables.values(), key=len, reverse=True):
                word = word.replace(secret, HIDDEN) if secret else word  # noqa: PLW2901  one by one
            words.append(word)
        return redacted_text(shlex.join(words))


def take_secrets(flags: Mapping[str, Any], api_key: str | None) -> Taken:
    """Move `--api-key` and the values of secret headers from flags to variables."""
    taken = Taken(dict(flags), api_key)
    given = taken.flags.get("header")
    if given is not None:
        try:
            found = parse_headers(given)
        except ValueError:
            found = None  # the configuration's own check says what is wrong with it
        if found is not None:
            taken.flags["header"] = _without_secrets(found, taken)
    if taken.api_key:
        taken.variables[API_KEY_ENV] = taken.api_key
    return taken


def _without_secrets(headers: Mapping[str, Any], taken: Taken) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in headers.items():
        text = str(value)
        if not is_secret_name(name) or variables_in(text):
            kept[name] = text
        elif name.lower() == "authorization" and text.lower().startswith("bearer "):
            taken.api_key = taken.api_key or text[len("bearer ") :].strip()
        else:
            variable = SECRET_PREFIX + re.sub(r"\W", "_", name).upper()
            taken.variables[variable] = text
            kept[name] = f"${{{variable}}}"
    return kept
