"""Keeps secrets out of a run: their names stay, their values don't."""

import logging
import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from steelyard.domain.track.names import check_names
from steelyard.domain.track.params import clean_text
from steelyard.kernel.errors import UsageError
from steelyard.kernel.secrets import known_secrets, redacted

_log = logging.getLogger("steelyard.track")


class Secrecy:
    """What one run may say, and how much of it was hidden.

    Args:
        not_secret: names or patterns (`model.*_key`) whose values are no secrets, whatever they
            look like.
        environ: has the secrets that are hidden wherever they stand.

    Raises:
        UsageError: `not_secret` is no list of names.
    """

    def __init__(
        self, not_secret: Iterable[str] = (), environ: Mapping[str, str] = os.environ
    ) -> None:
        if isinstance(not_secret, str):
            not_secret = (not_secret,)
        self._allowed = tuple(not_secret)
        if not all(isinstance(name, str) for name in self._allowed):
            raise UsageError("not_secret has names", got=not_secret, expected="a list of texts")
        self._known = known_secrets(environ)
        self.hidden = 0

    def shown(self, values: Mapping[str, Any], what: str) -> dict[str, Any]:
        """Return plain values by name without the secrets among them; `what` they are is told."""
        kept: dict[str, Any] = {}
        hidden = []
        for name, value in values.items():
            if any(fnmatchcase(name, pattern) for pattern in self._allowed):
                kept[name] = value
                continue
            kept[name] = redacted(name, value, self._known)
            if kept[name] != value and value == value:  # noqa: PLR0124  NaN differs from itself
                hidden.append(name)
        if hidden:
            self._tell(hidden, what)
        return kept

    def tags(self, given: Any) -> dict[str, str]:
        """Return tags as texts by name, without the secrets among them.

        Raises:
            UsageError: they have no names, or one that can't be used.
        """
        texts = {k: clean_text(str(v)) for k, v in check_names(given, "tag").items()}
        return self.shown(texts, "tags")

    def _tell(self, names: list[str], what: str) -> None:
        if not self.hidden:
            _log.warning(
                "What looks like a secret is not kept: %s %s. If it is none, name it in not_secret",
                what, ", ".join(repr(name) for name in names[:8]),
            )  # fmt: skip
        self.hidden += len(names)
