"""The curves of ramps, and their integrals turned round."""

import numpy as np
import pytest

from steelyard.domain.bench.ramp import power_elapsed_s, power_offsets_ns, stepped_elapsed_s


@pytest.mark.parametrize("exponent", [1, 2])
def test_the_inverse_undoes_the_integral(exponent: int) -> None:
    """What a rate of `(t / D) ** n` has sent by `t` is sent by `t`."""
    times = np.linspace(0.0, 10.0, 101)
    worth = times ** (exponent + 1) / ((exponent + 1) * 10.0**exponent)
    assert np.allclose(power_elapsed_s(10.0, exponent, worth), times, atol=1e-9)


@pytest.mark.parametrize("exponent", [1, 2])
def test_a_load_reaches_its_full_value_as_the_ramp_ends(exponent: int) -> None:
    """The last of the steps comes exactly then; a single step is there at once."""
    assert power_offsets_ns(2.0, exponent, 11)[[0, -1]].tolist() == [0, 2_000_000_000]
    assert power_offsets_ns(2.0, exponent, 1).tolist() == [0]


def test_a_square_reaches_half_of_its_load_after_seven_tenths() -> None:
    """At `t / D = sqrt(0.5)`."""
    assert power_offsets_ns(10.0, 2, 3)[1] == pytest.approx(7_071_067_811, abs=2)


def test_no_duration_is_no_ramp() -> None:
    """The full rate from the start."""
    assert power_elapsed_s(0.0, 1, np.array([0.0, 1.5])).tolist() == [0.0, 1.5]


def test_steps_of_a_rate_add_up() -> None:
    """Half of the rate for two seconds, then all of it: three seconds' worth takes four."""
    worth = np.array([0.0, 0.5, 1.0, 3.0])
    assert stepped_elapsed_s(np.array([0.0, 2.0]), worth).tolist() == [0.0, 1.0, 2.0, 4.0]
