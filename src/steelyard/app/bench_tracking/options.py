"""Options of a run's trackers: which there are, and that no secret is among them."""

from collections.abc import Mapping
from typing import Any

from steelyard.app.track.backends import LOCAL, BackendSpec, backend_specs, require, rules_of
from steelyard.domain.bench.plan import TrackPlan
from steelyard.domain.track.references import filled, has_reference
from steelyard.kernel.errors import UsageError
from steelyard.runtime.plugin_host import PluginHost


def backends_of(track: TrackPlan) -> dict[str, dict[str, Any]]:
    """Return the options of each backend by label; `local` without options needs no mirror."""
    chosen = {name: dict(track.options.get(name, {})) for name in track.backends}
    return {name: options for name, options in chosen.items() if name != LOCAL or options}


def check_track(track: TrackPlan, host: PluginHost, environ: Mapping[str, str]) -> None:
    """Check the trackers of a plan before anything starts. Nothing of them is imported.

    Raises:
        UsageError: an option holds a secret, or names a variable that is not set.
        PluginError: a backend is unknown or lacks a requirement.
        ConfigError: its options are wrong.
    """
    rules_of(track.routing)
    for label, options in backends_of(track).items():
        for name in secret_options(options):
            raise UsageError(
                f"The option {name} of the backend '{label}' is a secret, and a plan is written "
                "down",
                next_step="Write `${NAME}` and export NAME.",
            )
    require(backend_specs(filled(backends_of(track), environ)), host)


def secret_options(options: Mapping[str, Any]) -> list[str]:
    """Return the dotted names of options that hold a secret instead of naming its variable."""
    shown = BackendSpec(name="", label="", options=dict(options)).shown_options()
    found = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            found += [f"{name}.{inner}" for inner in secret_options(value)]
        elif name not in shown and isinstance(value, str) and not has_reference(value):
            found.append(name)
    return found
