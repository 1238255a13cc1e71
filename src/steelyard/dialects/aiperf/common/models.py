"""Models for data and for configuration, and the error that travels inside messages."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from steelyard.domain.bench.messages import PhaseStats
from steelyard.kernel.errors import SteelyardError

CreditPhaseStats = PhaseStats
"""How a phase stands: the core's own frozen Struct."""


class AIPerfBaseModel(BaseModel):
    """Data: unknown fields are dropped, arbitrary types are allowed."""

    model_config = ConfigDict(arbitrary_types_allowed=True)


class BaseConfig(BaseModel):
    """Configuration: unknown fields are refused, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class BasePayload(AIPerfBaseModel):
    """What a command brings along; `data` is what the sender put in, as plain data."""

    data: dict[str, Any] = Field(default_factory=dict, description="The command's own fields")


class ErrorDetails(AIPerfBaseModel):
    """An exception as data, so that it can be sent and stored."""

    type: str = Field(description="Name of the exception's class")
    message: str = Field(description="What it said")
    code: int | None = Field(default=None, description="HTTP status or exit code, where it has one")
    cause: str | None = Field(default=None, description="The exception it was raised from")
    details: dict[str, str] = Field(
        default_factory=dict, description="What was got, what was expected, what to do next"
    )

    @classmethod
    def from_exception(cls, error: BaseException) -> Self:
        """Return `error` as data, with the parts of a `SteelyardError` where it is one."""
        details: dict[str, str] = {}
        code = getattr(error, "status_code", None)
        if isinstance(error, SteelyardError):
            code = error.exit_code
            parts = {"got": error.got, "expected": error.expected, "next": error.next_step}
            details = {key: str(value) for key, value in parts.items() if value is not None}
        cause = error.__cause__
        return cls(
            type=type(error).__name__,
            message=str(error) or repr(error),
            code=code if isinstance(code, int) else None,
            cause=repr(cause) if cause is not None else None,
            details=details,
        )
