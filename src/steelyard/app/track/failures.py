"""What is kept of the exception that ended a run."""

import traceback

from steelyard.domain.track.events import Failure


def failure_of(error: BaseException) -> Failure:
    """Return what is kept of an exception."""
    return Failure(
        type=f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
        message=str(error),
        traceback="".join(traceback.format_exception(error)),
    )


def is_success(error: BaseException | None) -> bool:
    """Tell whether a block that ended so ended well: with nothing, or by `sys.exit(0)`."""
    return error is None or (isinstance(error, SystemExit) and not error.code)
