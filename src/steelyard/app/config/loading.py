"""Reads file, environment and flags, checks them all, and makes the plan."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steelyard.app.config.checks import Catalog, find_mistakes
from steelyard.app.config.choices import settle
from steelyard.app.config.endpoint import API_KEY_ENV
from steelyard.app.config.fields import Path as KeyPath
from steelyard.app.config.model import BenchmarkConfig
from steelyard.app.config.planning import make_plan
from steelyard.app.config.problems import explain
from steelyard.app.config.tree import Tree, merge, step_down
from steelyard.app.config.yaml_file import Document, read_yaml
from steelyard.domain.bench.plan import Plan
from steelyard.kernel.errors import ConfigError, UsageError
from steelyard.kernel.ids import make_run_id

_MOST_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration without mistakes, and where its values came from."""

    config: BenchmarkConfig
    tree: Tree


def load_config(
    *,
    config_path: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str],
    host: Catalog | None = None,
) -> Loaded:
    """Return the configuration that file, environment and flags make; the later ones win.

    Args:
        config_path: a YAML file; None reads none.
        flags: values by keyword: a flag's name (`request_count`, `isl`) or a dotted path
            (`load.request_count`); None values are not given.
        environ: `STEELYARD_*` fill fields; `${NAME}` in YAML reads any.
        host: knows the plugins; None asks this process's standard one.

    Raises:
        ConfigError: all mistakes at once, one line each, with file, line and column, the flag or
            the variable.
        UsageError: a keyword of `flags` names no field, or a single flag is wrong.
    """
    document = read_yaml(config_path, environ) if config_path is not None else None
    tree = merge(document, environ, flags or {})
    config, mistakes = _validate(tree)
    catalog = host if host is not None else _standard_host(config)
    config = settle(config, tree, catalog)
    mistakes.extend(
        mistake
        for mistake in find_mistakes(config, tree, catalog, environ)
        if not any(_covers(path, mistake[0]) for path, _ in mistakes)
    )
    problems = [*tree.problems, *(line for _, line in mistakes)]
    if problems:
        raise _refusal(problems, document)
    return Loaded(config, tree)


def load_plan(
    *,
    config_path: Path | None,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    now_wall_ns: int,
    entropy: bytes,
    host: Catalog | None = None,
    command_line: str = "",
) -> Plan:
    """Return the plan of a run: names checked, every default resolved, no secret in it.

    Args:
        config_path: a YAML file; None reads none.
        flags: as for `load_config`.
        environ: the environment; whether it has `STEELYARD_API_KEY` is all a plan learns of it.
        now_wall_ns: nanoseconds since the Unix epoch, for the run's id.
        entropy: three random bytes or more, for the run's id.
        host: as for `load_config`.
        command_line: kept in the plan for people; secrets already taken out.

    Raises:
        ConfigError: as for `load_config`.
        UsageError: as for `load_config`.
    """
    loaded = load_config(config_path=config_path, flags=flags, environ=environ, host=host)
    return make_plan(
        loaded.config,
        loaded.tree,
        run_id=make_run_id(now_wall_ns, entropy),
        has_api_key=bool(environ.get(API_KEY_ENV)),
        command_line=command_line,
    )


def check_flags(flags: Mapping[str, Any]) -> None:
    """Check flags by themselves, without file or environment.

    Raises:
        ConfigError: as for `load_config`.
    """
    _, mistakes = _validate(merge(None, {}, flags))
    if mistakes:
        raise _refusal([line for _, line in mistakes], None)


def _validate(tree: Tree) -> tuple[BenchmarkConfig, list[tuple[KeyPath, str]]]:
    """Return the configuration with wrong fields at their defaults, and the mistakes."""
    mistakes: list[tuple[KeyPath, str]] = []
    data = copy.deepcopy(tree.data)
    for _ in range(_MOST_ROUNDS):
        try:
            return BenchmarkConfig.model_validate(data), mistakes
        except ValidationError as error:
            found = explain(error, tree)
            mistakes.extend(found)
            for path, _line in sorted(found, key=lambda item: _latest_first(item[0])):
                _remove(data, path)
    return BenchmarkConfig(), mistakes


def _latest_first(path: KeyPath) -> tuple[int, ...]:
    """Order so that removing an item of a list moves none that is still to be removed."""
    return tuple(-part if isinstance(part, int) else 0 for part in path)


def _remove(data: Any, path: KeyPath) -> None:
    here = step_down(data, path[:-1])
    if isinstance(here, dict):
        here.pop(path[-1], None)
    elif isinstance(here, list) and isinstance(path[-1], int) and path[-1] < len(here):
        del here[path[-1]]


def _covers(outer: KeyPath, inner: KeyPath) -> bool:
    """Tell whether a mistake at `outer` already says what is wrong at `inner`."""
    return inner[: len(outer)] == outer or outer[: len(inner)] == inner


def _refusal(problems: list[str], document: Document | None) -> UsageError:
    ordered = sorted(dict.fromkeys(problems), key=_place)
    subject = document.file if document is not None else "The configuration"
    count = f"{len(ordered)} mistake" + ("s" if len(ordered) > 1 else "")
    see = "`steelyard config schema` lists every key." if document is not None else None
    if document is None and len(ordered) == 1:
        said = "See: " in ordered[0]
        return ConfigError(ordered[0], next_step=None if said else "See: steelyard profile --help")
    return ConfigError(f"{subject} has {count}", ordered, next_step=see)


def _place(problem: str) -> tuple[str, int, int]:
    """Sort by file, line and column; flags and variables before files."""
    parts = problem.split(":", 3)
    if len(parts) > 2 and parts[1].isdigit() and parts[2].isdigit():
        return parts[0], int(parts[1]), int(parts[2])
    return "", 0, 0


def _standard_host(config: BenchmarkConfig) -> Catalog:
    from steelyard.app.composition import standard_host

    return standard_host(config.plugins.directories)
