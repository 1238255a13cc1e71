"""What plugins and services share, as document 002 shows it."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from pydantic import Field, ValidationError

from steelyard.dialects.aiperf.common import environment, finite, path_safety, tokenizer, utils
from steelyard.dialects.aiperf.common.enums import CreditPhase, MetricFlags
from steelyard.dialects.aiperf.common.environment import Environment
from steelyard.dialects.aiperf.common.finite import (
    FiniteFloat,
    is_finite_value,
    nan_safe_mean,
    nan_safe_std,
    scrub_non_finite,
)
from steelyard.dialects.aiperf.common.models import (
    AIPerfBaseModel,
    BaseConfig,
    CreditPhaseStats,
    ErrorDetails,
)
from steelyard.dialects.aiperf.common.path_safety import safe_read_template_path
from steelyard.kernel.errors import PluginError, UsageError

INF = math.inf
NAN = math.nan


class MetricSummary(AIPerfBaseModel):
    """Document 002's model."""

    mean: FiniteFloat = Field(description="Sample mean (must be finite)")
    std: FiniteFloat | None = Field(default=None, description="None means insufficient samples")
    p99: FiniteFloat | None = Field(default=None, description="None means no samples")


@pytest.mark.parametrize("wrong", [NAN, INF, -INF])
def test_a_finite_float_refuses_what_is_not_finite(wrong):
    """The message names the value; None is the way to say that there is none."""
    assert MetricSummary(mean=1.5).p99 is None
    with pytest.raises(ValidationError, match="finite"):
        MetricSummary(mean=wrong)
    with pytest.raises(ValidationError, match="finite"):
        MetricSummary.model_validate({"mean": 1.0, "p99": wrong})


def test_scrubbing_reaches_every_container_and_leaves_the_rest():
    """Numbers that are not finite become None, numpy's too; text, bytes and booleans stay."""
    dirty = {
        "a": [1.0, NAN, {"b": (INF, "nan", b"inf", True)}],
        "c": np.float32("inf"), "d": np.float64(2.5), "e": -INF,
    }  # fmt: skip
    clean = scrub_non_finite(dirty)
    assert clean == {
        "a": [1.0, None, {"b": (None, "nan", b"inf", True)}], "c": None, "d": 2.5, "e": None,
    }  # fmt: skip
    assert json.loads(json.dumps({"x": scrub_non_finite(NAN)})) == {"x": None}


@pytest.mark.parametrize(
    ("value", "finite_value"),
    [
        (1, True), (1.5, True), (np.float32(1), True), (np.int64(3), True),
        (NAN, False), (INF, False), (np.float64("nan"), False),
        ("1", False), (None, False), (True, False), ([1.0], False),
    ],
)  # fmt: skip
def test_finiteness_is_asked_of_anything(value, finite_value):
    """Numbers of Python and numpy count; nothing raises."""
    assert is_finite_value(value) is finite_value


def test_means_leave_out_what_is_not_finite():
    """The mean of the finite values, None when there are none; the same for the deviation."""
    assert nan_safe_mean([1.0, 2.0, NAN]) == 1.5
    assert nan_safe_mean([NAN, INF]) is None
    assert nan_safe_std([1.0, 3.0, NAN], ddof=1) == pytest.approx(math.sqrt(2))
    assert nan_safe_std([1.0, NAN], ddof=1) is None


def test_a_template_is_read_or_taken_literally(tmp_path):
    """The "path or inline" idiom."""
    file = tmp_path / "body.json"
    file.write_text('{"prompt": 1}')
    assert safe_read_template_path(str(file)) == '{"prompt": 1}'
    inline = '{"prompt": "{{ text }}"}'
    assert (safe_read_template_path(inline) or inline) == inline


def test_an_exception_becomes_data():
    """Type, text and cause; of a stated error also what was got and what to do next."""
    try:
        try:
            int("root")
        except ValueError as root:
            raise RuntimeError("on top") from root
    except RuntimeError as error:
        details = ErrorDetails.from_exception(error)
    assert (details.type, details.message) == ("RuntimeError", "on top")
    assert details.cause is not None
    assert "ValueError" in details.cause
    stated = ErrorDetails.from_exception(UsageError("bad flag", got=3, next_step="See --help."))
    assert stated.code == 2
    assert stated.details == {"got": "3", "next": "See --help."}
    assert ErrorDetails.from_exception(KeyError()).message == "KeyError()"
    assert ErrorDetails.model_validate_json(stated.model_dump_json()) == stated


def test_data_and_configuration_models_differ():
    """Data drops what it doesn't know; configuration refuses it, also when assigned."""

    class Data(AIPerfBaseModel):
        x: int = 1

    class Config(BaseConfig):
        x: int = 1

    assert Data.model_validate({"x": 2, "y": 3}).model_dump() == {"x": 2}
    with pytest.raises(ValidationError, match="y"):
        Config.model_validate({"x": 2, "y": 3})
    config = Config()
    with pytest.raises(ValidationError, match="integer"):
        config.x = "three"  # type: ignore[assignment]


def test_phases_equal_their_names():
    """A hook can compare what it is given with the enumeration."""
    assert CreditPhase.WARMUP == "warmup"
    assert CreditPhase("Profiling") is CreditPhase.PROFILING
    assert CreditPhaseStats(phase="warmup", phase_index=0).sent == 0


def test_the_environment_is_read_when_asked(monkeypatch):
    """Development switches and the bound of the telemetry queue, with their defaults."""
    for name in ("DEV_MODE", "DEV_SHOW_INTERNAL_METRICS", "OTEL_MAX_BUFFERED_RECORDS"):
        monkeypatch.delenv(f"STEELYARD_{name}", raising=False)
    assert Environment.DEV.MODE is False
    assert Environment.DEV.SHOW_INTERNAL_METRICS is False
    assert Environment.OTEL.MAX_BUFFERED_RECORDS == 10_000
    monkeypatch.setenv("STEELYARD_DEV_MODE", "1")
    monkeypatch.setenv("STEELYARD_DEV_SHOW_INTERNAL_METRICS", "true")
    monkeypatch.setenv("STEELYARD_OTEL_MAX_BUFFERED_RECORDS", "5")
    assert environment.Environment.DEV.MODE is True
    assert environment.Environment.DEV.SHOW_INTERNAL_METRICS is True
    assert Environment.OTEL.MAX_BUFFERED_RECORDS == 5
    monkeypatch.setenv("STEELYARD_OTEL_MAX_BUFFERED_RECORDS", "many")
    with pytest.raises(UsageError, match="MAX_BUFFERED_RECORDS"):
        _ = Environment.OTEL.MAX_BUFFERED_RECORDS


def test_a_tokenizer_is_made_by_name():
    """The tokenizer that needs no download is the default; a typo is told."""
    assert tokenizer.create_tokenizer().count("one two") == 2
    with pytest.raises(PluginError, match="builtn"):
        tokenizer.create_tokenizer("builtn")


def test_units_and_durations_are_the_cores():
    """`utils` has the constants and the reader of durations."""
    assert utils.NS_PER_S == 1_000 * utils.NS_PER_MS
    assert utils.parse_duration_s("2m") == 120.0


def test_the_modules_export_what_they_name():
    """`__all__` holds nothing that isn't there."""
    for module in (finite, path_safety, environment, tokenizer, utils):
        assert all(hasattr(module, name) for name in module.__all__)
    assert MetricFlags.NONE.value == 0


def test_enumerations_bring_no_numpy():
    """`CreditPhase` is imported by every hook; `MetricFlags` pays for itself when asked for."""
    code = (
        "import sys; from steelyard.dialects.aiperf.common.enums import CreditPhase;"
        "assert 'numpy' not in sys.modules;"
        "from steelyard.dialects.aiperf.common.enums import MetricConsoleGroup, MetricFlags;"
        "import steelyard.dialects.aiperf.common.enums as e;"
        "sys.exit(hasattr(e, 'Nothing'))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
