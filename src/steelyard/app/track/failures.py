"""What is kept of the exception that ended a run."""

import os
import traceback

from steelyard.domain.track.events import Failure
from steelyard.domain.track.params import clean_text
from steelyard.kernel.errors import SteelyardError
from steelyard.kernel.secrets import known_secrets, scrubbed
from steelyard.runtime.plugin_border import PluginBorder

TEXT_MAX = 262_144
"""Characters of a message or traceback that are kept: its beginning and its end."""


def failure_of(error: BaseException) -> Failure:
    """Return what is kept of an exception: no secret in it, as far as those can be told."""
    known = known_secrets(os.environ)
    return Failure(
        type=f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        message=_kept(_message(error), known),
        traceback=_kept("".join(traceback.format_exception(error)), known),
    )


def is_success(error: BaseException | None) -> bool:
    """Tell whether a block that ended so ended well.

    It did with nothing, by `sys.exit(0)`, and as a generator of which nobody wanted more.
    """
    return (
        error is None
        or isinstance(error, GeneratorExit)
        or (isinstance(error, SystemExit) and not error.code)
    )


def _message(error: BaseException) -> str:
    try:
        with PluginBorder().crossing(type(error).__name__, "say what it means"):
            return str(error)
    except SteelyardError as broken:
        return str(broken)


def _kept(text: str, known: tuple[str, ...]) -> str:
    text = scrubbed(clean_text(text), known)
    if len(text) > TEXT_MAX:
        half = TEXT_MAX // 2
        text = f"{text[:half]}\n… {len(text) - TEXT_MAX} characters left out …\n{text[-half:]}"
    return text
