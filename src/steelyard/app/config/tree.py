"""Merges file, environment and flags into one tree, remembering where each value came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from steelyard.app.config.fields import FieldSpec, Path, env_fields, keyword_fields, phase_keys
from steelyard.app.config.flag import ENV_PREFIX, attribute_name
from steelyard.app.config.unsupported import reason
from steelyard.app.config.yaml_file import Document
from steelyard.kernel.errors import UsageError, did_you_mean

SERVICE_VARIABLES = frozenset({
    "STEELYARD_API_KEY", "STEELYARD_DEBUG", "STEELYARD_CONFIG", "STEELYARD_TRACK_BACKENDS",
    "STEELYARD_TRACK_COLLECTORS", "STEELYARD_TRACK_MIRROR", "STEELYARD_TRACK_MIRRORS",
})  # fmt: skip
"""Variables that are ours but fill no field."""

_SURE = 0.85


def step_down(data: Any, path: Path) -> Any:
    """Return what lies at `path` in nested dicts and lists, None where there is nothing."""
    here = data
    for key in path:
        if isinstance(here, list) and isinstance(key, int):
            here = here[key] if key < len(here) else None
        else:
            here = here.get(key) if isinstance(here, dict) else None
    return here


@dataclass(slots=True)
class Tree:
    """Raw values as nested dicts and lists, with the origin of those not from the file."""

    data: dict[str, Any] = field(default_factory=dict)
    document: Document | None = None
    origins: dict[Path, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def origin(self, path: Path) -> str:
        """Say where the value at `path` (or the nearest part around it) came from."""
        for end in range(len(path), -1, -1):
            part = path[:end]
            if part in self.origins:
                return self.origins[part]
            if self.document is not None:
                mark = self.document.values.get(part)
                if mark is not None and part:
                    return str(mark)
        return self.document.file if self.document is not None else ""

    def origin_of_key(self, path: Path) -> str:
        """Say where the key at `path` stands; as `origin` where there is no such key."""
        if path not in self.origins and self.document is not None:
            mark = self.document.keys.get(path)
            if mark is not None:
                return str(mark)
        return self.origin(path)

    def is_from_file(self, path: Path) -> bool:
        """Tell whether the file, and no flag or variable, set the value at `path`."""
        return (
            self.document is not None and path in self.document.values and path not in self.origins
        )

    def get(self, path: Path) -> Any:
        """Return the raw value at `path`, None where there is none."""
        return step_down(self.data, path)

    def set(self, path: Path, value: Any, origin: str) -> None:
        """Put `value` at `path`, over what the file says there."""
        here: Any = self.data
        for key in path[:-1]:
            following = step_down(here, (key,))
            if not isinstance(following, dict | list):
                following = {}
                here[key] = following
            here = following
        here[path[-1]] = value
        self.origins[path] = origin


def merge(document: Document | None, environ: Mapping[str, str], flags: Mapping[str, Any]) -> Tree:
    """Return the tree of file, environment and flags; the later of these win.

    Raises:
        UsageError: a keyword of `flags` names no field.
    """
    tree = Tree(document=document)
    if document is not None:
        tree.data = document.data
        tree.problems.extend(document.problems)
    for spec, value, origin in [*_from_environ(environ, tree), *_from_flags(flags)]:
        _place(tree, spec, value, origin)
    return tree


def _from_environ(environ: Mapping[str, str], tree: Tree) -> list[tuple[FieldSpec, Any, str]]:
    known = env_fields()
    found = []
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX) or name in SERVICE_VARIABLES:
            continue
        if name in known:
            found.append((known[name], environ[name], name))
        elif hint := _sure_hint(name, known):
            tree.problems.append(f"{name}: no such variable. {hint}")
    return found


def _sure_hint(name: str, known: Mapping[str, Any]) -> str:
    """Return a suggestion only for a near miss: other programs may own other names."""
    from difflib import get_close_matches

    # The prefix that all share would make any two names alike.
    bare = [one.removeprefix(ENV_PREFIX) for one in known]
    close = get_close_matches(name.removeprefix(ENV_PREFIX), bare, n=1, cutoff=_SURE)
    return f"Did you mean '{ENV_PREFIX}{close[0]}'?" if close else ""


def _from_flags(flags: Mapping[str, Any]) -> list[tuple[FieldSpec, Any, str]]:
    known = keyword_fields()
    found = []
    for keyword, value in flags.items():
        if value is None:
            continue
        spec = known.get(keyword) or known.get(attribute_name(keyword))
        if spec is None:
            flag = "--" + attribute_name(keyword).replace("_", "-")
            why = reason(flag)
            raise UsageError(
                f"{flag} is not supported yet: {why}" if why else f"Unknown option '{keyword}'",
                next_step=None if why else did_you_mean(attribute_name(keyword), known) or None,
            )
        found.append((spec, value, spec.names[0] if spec.names else keyword))
    return found


def _place(tree: Tree, spec: FieldSpec, value: Any, origin: str) -> None:
    """Set the field, in the phase it means where the file lists phases."""
    phases = tree.data.get("phases")
    if spec.path[0] not in {"load", "warmup"} or not isinstance(phases, list) or not phases:
        tree.set(spec.path, value, origin)
        return
    wanted = "warmup" if spec.path[0] == "warmup" else "profiling"
    of_kind = [index for index, phase in enumerate(phases) if _kind(phase) == wanted]
    if len(of_kind) == 1 and spec.path[1] in phase_keys():
        tree.set(("phases", of_kind[0], spec.path[1]), value, origin)
        return
    tree.problems.append(
        f"{origin}: the file has {len(of_kind)} {wanted} phases; expected exactly one that this "
        "could change; change the file instead"
    )


def _kind(phase: Any) -> str:
    if not isinstance(phase, dict):
        return ""
    kind = phase.get("kind")
    if kind is None:
        return "warmup" if phase.get("name") == "warmup" else "profiling"
    return str(kind).lower()
