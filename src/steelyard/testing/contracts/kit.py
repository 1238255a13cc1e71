"""What all kits share: the fixture to override, and a way to run a kit without pytest."""

from typing import Any, ClassVar

import pytest

from steelyard.kernel.errors import SteelyardError
from steelyard.plugins.kinds import PORTS, class_problems
from steelyard.runtime.plugin_border import PluginBorder


def require(condition: object, claim: str) -> None:
    """Fail the test with `claim` unless `condition` holds."""
    if not condition:
        raise AssertionError(claim)


class Contract:
    """A kit. Every `test_` method takes `subject` and nothing else.

    A subject has at least `cls`, the class under test.
    """

    kind: ClassVar[str]

    @pytest.fixture
    def subject(self) -> Any:
        """Return what is under test; a subclass overrides this, and nothing else."""
        raise SteelyardError(
            f"{type(self).__name__} does not say what it tests",
            expected="a fixture `subject` in the class",
        )

    def test_the_class_fits_its_port(self, subject: Any) -> None:
        """All methods of the port are there and take its arguments."""
        problems = class_problems(subject.cls, PORTS[self.kind])
        require(not problems, f"{subject.cls.__name__} {'; '.join(problems)}")


def rejections(kit: type[Contract], subject: Any, only: str = "") -> dict[str, str]:
    """Return the tests of `kit` that `subject` fails, with what they say; empty when none.

    Args:
        kit: the contract.
        subject: what is under test.
        only: the one test to try, all without it.
    """
    border = PluginBorder()
    found: dict[str, str] = {}
    for name in [only] if only else sorted(n for n in dir(kit) if n.startswith("test_")):
        try:
            with border.crossing(subject.cls.__name__, name):
                getattr(kit(), name)(subject)
        except SteelyardError as error:
            found[name] = str(error.__cause__ or error)
    return found
