"""Calibrations are kept per host and instrument, and found again by it alone."""

import json

import pytest

from steelyard.domain.bench.calibration import Calibration, calibration_facts, ceilings
from steelyard.kernel.errors import FileError
from steelyard.runtime.calibration_store import (
    calibration_path,
    load_calibration,
    outdated_calibration,
    save_calibration,
    state_directory,
)
from steelyard.runtime.host_facts import host_facts


def made(host, at=7):
    return Calibration(
        made_wall_ns=at, facts=calibration_facts(host), levels=(), ceilings=ceilings(())
    )


def test_what_was_kept_is_found_by_the_same_host_only(tmp_path):
    host = host_facts()
    path = save_calibration(made(host), tmp_path)
    assert path == calibration_path(tmp_path, host)
    assert load_calibration(tmp_path, host) == made(host)
    assert load_calibration(tmp_path, {**host, "cpu_usable": 1_000}) is None


def test_a_new_calibration_takes_the_place_of_the_last(tmp_path):
    host = host_facts()
    save_calibration(made(host, at=1), tmp_path)
    save_calibration(made(host, at=2), tmp_path)
    assert load_calibration(tmp_path, host).made_wall_ns == 2


def test_a_calibration_of_another_kernel_is_no_calibration_but_is_named(tmp_path):
    """The newest of those that there are; what can't be read is nobody's."""
    host = host_facts()
    assert outdated_calibration(tmp_path, host) == ""
    save_calibration(made({**host, "kernel": "Linux 5.0"}, at=0), tmp_path)
    save_calibration(made({**host, "kernel": "Linux 6.0"}, at=86_400_000_000_000), tmp_path)
    (tmp_path / "calibration" / "odd.json").write_text("{")
    assert load_calibration(tmp_path, host) is None
    assert outdated_calibration(tmp_path, host) == (
        "The calibration of 1970-01-02 is of another instrument: kernel Linux 6.0, now "
        f"{host['kernel']}; run `steelyard calibrate`"
    )


@pytest.mark.parametrize("change", ["{", '{"schema_version": "9.0"}', None])
def test_a_damaged_or_foreign_file_is_named_with_what_to_do(tmp_path, change):
    host = host_facts()
    path = save_calibration(made(host), tmp_path)
    if change is None:
        change = json.dumps({**json.loads(path.read_text()), "schema_version": "9.0"})
    path.write_text(change)
    with pytest.raises(FileError, match="steelyard calibrate"):
        load_calibration(tmp_path, host)


@pytest.mark.parametrize(
    ("environ", "directory"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/steelyard"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/steelyard"),
        ({"HOME": "/h"}, "/h/.local/state/steelyard"),
    ],
)
def test_state_lies_where_the_base_directory_specification_says(environ, directory):
    assert str(state_directory(environ)) == directory
