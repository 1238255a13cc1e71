"""What every section of the configuration has in common: strict keys, finite numbers."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from steelyard.app.config.parsing import duration, grace


class Section(BaseModel):
    """A frozen group of fields; a key it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_as_nothing(cls, data: Any) -> Any:
        """Take a section whose keys are all commented out as one that says nothing."""
        return {} if data is None else data


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number")  # noqa: TRY004  pydantic turns ValueError into a field error
    return value


NotBool = BeforeValidator(_no_bool)
COUNT_MAX = 2**62
"""Bound on every count: beyond it schedule indices would not fit the phases' machine."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a finite number")
    return value


Finite = AfterValidator(_finite)
Count = Annotated[int, NotBool, Field(ge=1, le=COUNT_MAX)]
Tokens = Annotated[float, Finite, NotBool, Field(ge=0)]
Percent = Annotated[float, Finite, NotBool, Field(ge=0, le=100)]
Ratio = Annotated[float, Finite, NotBool, Field(ge=0)]
PositiveFloat = Annotated[float, Finite, NotBool, Field(gt=0)]
Seconds = Annotated[float, Finite, BeforeValidator(duration), NotBool, Field(gt=0)]
OptionalSeconds = Annotated[float, Finite, BeforeValidator(duration), NotBool, Field(ge=0)]
GraceSeconds = Annotated[float, Finite, BeforeValidator(grace), NotBool, Field(ge=0)]


def not_yet(**reasons: str) -> BeforeValidator:
    """Refuse values that are planned but not there, with what exists instead."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and (why := reasons.get(value.lower())) is not None:
            raise ValueError(why)
        return value

    return BeforeValidator(check)
