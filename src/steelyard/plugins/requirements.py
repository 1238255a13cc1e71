"""Whether what a plugin requires is installed, told by a function that knows versions."""

from collections.abc import Callable, Iterable

import msgspec


class Missing(msgspec.Struct, frozen=True):
    """A requirement that is not met: as written, and why not."""

    requirement: str
    reason: str


def missing_requirements(
    requires: Iterable[str], version_of: Callable[[str], str | None]
) -> tuple[Missing, ...]:
    """Return the PEP 508 requirements that are not met.

    Args:
        requires: requirements as written; one whose marker does not apply here is met.
        version_of: distribution name to installed version, None when it is not installed.
    """
    texts = tuple(requires)
    if not texts:
        return ()
    # Most plugins require nothing; the grammar of those that do costs 30 ms to load.
    from packaging.requirements import InvalidRequirement, Requirement

    missing: list[Missing] = []
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            missing.append(Missing(text, f"is not a requirement: {error}".splitlines()[0]))
            continue
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = version_of(requirement.name)
        if version is None:
            missing.append(Missing(text, "is not installed"))
        elif not requirement.specifier.contains(version, prereleases=True):
            missing.append(Missing(text, f"is installed as {version}"))
    return tuple(missing)


def install_line(requires: Iterable[str]) -> str:
    """Return the command that installs `requires`, quoted for a shell; empty for nothing."""
    words = [f"'{r}'" if set(r) & set(" <>=!~;[]'") else r for r in requires]
    return "pip install " + " ".join(words) if words else ""
