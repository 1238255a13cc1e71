"""What `steelyard plugins` tells: a row per plugin, and what comes of trying each."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from steelyard.kernel.errors import PluginError, did_you_mean
from steelyard.plugins.kinds import port_for
from steelyard.plugins.spec import PluginSpec
from steelyard.plugins.states import PluginState
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.plugin_probe import PROBE_TIMEOUT_S, Probe, probe

PROBES_AT_ONCE = 4


class PluginRow(msgspec.Struct, frozen=True, kw_only=True):
    """One plugin, for a table or JSON.

    Attributes:
        why: why it can't be used, empty when it can.
        install: the command that would mend a missing requirement.
        notes: what was noticed of one that works.
    """

    kind: str
    name: str
    origin: str
    state: str
    why: str = ""
    install: str = ""
    version: str = ""
    description: str = ""
    notes: tuple[str, ...] = ()

    @property
    def broken(self) -> bool:
        """True when its author has to mend it; a missing requirement is its user's to install."""
        return self.state == PluginState.FAILED.value


def list_rows(host: PluginHost, kind: str | None = None) -> list[PluginRow]:
    """Return a row per known plugin, then one per declaration that can't be used.

    Nothing is imported.

    Raises:
        PluginError: `kind` is no kind of plugin.
    """
    rows = [_row(host, spec) for spec in host.specs(kind)]
    wanted = None if kind is None else host.registry.known_kind(kind)
    rows += [
        PluginRow(
            kind=problem.kind,
            name=problem.name,
            origin=problem.origin,
            state=PluginState.FAILED.value,
            why=problem.message,
        )
        for problem in host.problems
        if wanted in (None, problem.kind)
    ]
    return rows


def _row(host: PluginHost, spec: PluginSpec) -> PluginRow:
    key = (spec.kind, spec.name)
    return PluginRow(
        kind=spec.kind,
        name=spec.name,
        origin=spec.origin,
        state=host.state(*key).value,
        why=host.why(*key),
        install=host.install_line(*key),
        version=spec.version,
        description=spec.description,
        notes=(*host.notes(*key), *_unverified(spec)),
    )


def _unverified(spec: PluginSpec) -> tuple[str, ...]:
    """Return what a backend says it keeps and no test has read back from where it keeps it."""
    if spec.kind != "backend":
        return ()
    facts = spec.metadata
    open_parts = [part for part in facts.get("takes", ()) if part not in facts.get("verified", ())]
    return ("unverified: " + ", ".join(open_parts),) if open_parts else ()


def examine(host: PluginHost, *, timeout_s: float = PROBE_TIMEOUT_S) -> list[PluginRow]:
    """Return the rows of `list_rows` after every plugin was tried.

    Our batteries are imported here; each stranger's plugin is tried in a process of its own, so
    that one which hangs, exits or prints harms nobody.
    """
    strangers = []
    for spec in host.specs():
        if host.state(spec.kind, spec.name) is not PluginState.DISCOVERED:
            continue
        if spec.origin != "builtin":
            strangers.append(spec)
            continue
        try:
            host.validate(spec.kind, spec.name)
            host.check_schema(spec.kind, spec.name)
        except PluginError:
            continue  # the host keeps the state and the reason, which the row shows
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
        results = list(pool.map(lambda spec: probe(spec, timeout_s=timeout_s), strangers))
    tried = {(s.kind, s.name): r for s, r in zip(strangers, results, strict=True)}
    return [_with_probe(row, tried.get((row.kind, row.name))) for row in list_rows(host)]


def _with_probe(row: PluginRow, result: Probe | None) -> PluginRow:
    if result is None or row.state != PluginState.DISCOVERED.value:
        return row
    notes = (*row.notes, *result.notes)
    return msgspec.structs.replace(row, state=result.state, why=result.why, notes=notes)


def describe(host: PluginHost, name: str, kind: str | None = None) -> list[dict[str, Any]]:
    """Return all that is known of the plugins called `name`, as plain data.

    Raises:
        PluginError: no plugin has that name.
    """
    found = [s for s in host.specs(kind) if s.name == name]
    if not found:
        if kind is not None:
            host.spec(kind, name)
        refused = [p for p in host.problems if p.name == name]
        if refused:
            raise PluginError(f"Plugin '{name}' can't be used: {refused[0].message}")
        hint = did_you_mean(name, {s.name for s in host.specs()})
        raise PluginError(
            f"There is no plugin '{name}'", next_step=f"{hint} See: steelyard plugins".strip()
        )
    return [_facts(host, spec) for spec in found]


def _facts(host: PluginHost, spec: PluginSpec) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(spec)
    port = port_for(spec)
    facts["state"] = host.state(spec.kind, spec.name).value
    facts["why"] = host.why(spec.kind, spec.name)
    facts["install"] = host.install_line(spec.kind, spec.name)
    facts["port"] = port.protocol if port else ""
    facts["methods"] = [m for shape in port.shapes for m in shape] if port else []
    if port:
        facts["methods"] += list(port.optional)
    return facts
