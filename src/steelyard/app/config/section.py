"""What every section of the configuration has in common: strict keys, finite numbers."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from steelyard.app.config.parsing import duration, grace
from steelyard.kernel.finite import FiniteFloat


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
Count = Annotated[int, NotBool, Field(ge=1)]
Tokens = Annotated[FiniteFloat, NotBool, Field(ge=0)]
PositiveFloat = Annotated[FiniteFloat, NotBool, Field(gt=0)]
Seconds = Annotated[FiniteFloat, BeforeValidator(duration), NotBool, Field(gt=0)]
OptionalSeconds = Annotated[FiniteFloat, BeforeValidator(duration), NotBool, Field(ge=0)]
GraceSeconds = Annotated[FiniteFloat, BeforeValidator(grace), NotBool, Field(ge=0)]


def not_yet(**reasons: str) -> BeforeValidator:
    """Refuse values that are planned but not there, with what exists instead."""

    def check(value: Any) -> Any:
        if isinstance(value, str) and (why := reasons.get(value.lower())) is not None:
            raise ValueError(why)
        return value

    return BeforeValidator(check)
