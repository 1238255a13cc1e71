"""Every known plugin, by kind and name. A name belongs to whoever claimed it first."""

from collections.abc import Iterable, Iterator

from steelyard.kernel.errors import PluginError, did_you_mean
from steelyard.plugins.manifest import Problem, kind_of
from steelyard.plugins.spec import KINDS, PluginSpec

Key = tuple[str, str]


class Registry:
    """Specs by `(kind, name)`, and the problems of those that were refused."""

    def __init__(self) -> None:
        self._specs: dict[Key, PluginSpec] = {}
        self.problems: list[Problem] = []

    def add(self, spec: PluginSpec, *, replace: bool = False) -> bool:
        """Take `spec` in; return False when its name is taken, which is noted as a problem.

        A later claimant never displaces an earlier one in silence: our own and the first installed
        keep their meaning, whatever else a machine has.
        """
        key = (spec.kind, spec.name)
        holder = self._specs.get(key)
        if holder is not None and not replace:
            message = f"the name {spec.kind} '{spec.name}' is taken by {holder.origin}"
            self.problems.append(
                Problem(kind=spec.kind, name=spec.name, origin=spec.origin, message=message)
            )
            return False
        self._specs[key] = spec
        return True

    def add_all(self, specs: Iterable[PluginSpec], problems: Iterable[Problem] = ()) -> None:
        """Take in what a discovery found."""
        for spec in specs:
            self.add(spec)
        self.problems.extend(problems)

    def remove(self, kind: str, name: str) -> PluginSpec | None:
        """Forget a plugin; return what was known of it."""
        return self._specs.pop((kind, name), None)

    def __contains__(self, key: Key) -> bool:
        """Tell whether `(kind, name)` is known."""
        return key in self._specs

    def __iter__(self) -> Iterator[PluginSpec]:
        """Yield all specs by kind, then priority, then name."""
        return iter(self.specs())

    def specs(self, kind: str | None = None) -> list[PluginSpec]:
        """Return the specs of `kind` (all when None), by kind, then priority, then name."""
        wanted = None if kind is None else self.known_kind(kind)
        rank = {name: index for index, name in enumerate(KINDS)}
        found = (s for s in self._specs.values() if wanted is None or s.kind == wanted)
        return sorted(found, key=lambda s: (rank.get(s.kind, len(rank)), s.priority, s.name))

    def known_kind(self, kind: str) -> str:
        """Return the kind that `kind` spells, singular or plural.

        Raises:
            PluginError: it spells none.
        """
        normal = kind_of(kind)
        if normal == "custom" and kind.strip().lower() not in ("custom", "customs"):
            raise PluginError(
                f"Unknown kind of plugin '{kind}'",
                expected="one of " + ", ".join(KINDS),
                next_step=did_you_mean(kind, KINDS) or "See: steelyard plugins",
            )
        return normal

    def get(self, kind: str, name: str) -> PluginSpec:
        """Return the spec of `name` within `kind`.

        Raises:
            PluginError: either is unknown; the message lists what is installed.
        """
        normal = self.known_kind(kind)
        spec = self._specs.get((normal, name))
        if spec is not None:
            return spec
        names = [s.name for s in self.specs(normal)]
        refused = [p for p in self.problems if p.kind == normal and p.name == name]
        if refused:
            raise PluginError(
                f"The {normal} '{name}' can't be used: {refused[0].message}",
                next_step="See: steelyard plugins doctor",
            )
        hint = did_you_mean(name, names)
        raise PluginError(
            f"Unknown {normal.replace('_', ' ')} '{name}'",
            expected="one installed: " + (", ".join(names) or "none is"),
            next_step=f"{hint} See: steelyard plugins --kind {normal}".strip(),
        )
