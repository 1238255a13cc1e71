"""Requirements are checked against versions that somebody else looks up."""

import pytest

from steelyard.plugins.requirements import install_line, missing_requirements

VERSIONS = {"numpy": "2.1.0", "requests": "2.20.0", "beta": "3.0rc1"}


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        ("numpy", None),
        ("numpy>=2", None),
        ("numpy<2", "is installed as 2.1.0"),
        ("requests>=2.25.0", "is installed as 2.20.0"),
        ("custom-sdk>=2.0.0", "is not installed"),
        ("beta>=2", None),
        ("absent; python_version < '3'", None),
        ("absent; python_version >= '3'", "is not installed"),
        ("numpy[extra]>=2", None),
    ],
)
def test_a_requirement_is_met_or_the_reason_is_given(requirement, reason):
    missing = missing_requirements([requirement], VERSIONS.get)
    assert [m.reason for m in missing] == ([] if reason is None else [reason])


def test_nonsense_is_reported_not_raised():
    (missing,) = missing_requirements(["!!"], VERSIONS.get)
    assert missing.reason.startswith("is not a requirement")


def test_the_install_line_can_be_pasted_into_a_shell():
    assert install_line(["a", "b>=2,<3"]) == "pip install a 'b>=2,<3'"
    assert install_line([]) == ""
