"""From what a person calls a backend to a mirror that can be run."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from steelyard.app.composition import standard_host
from steelyard.app.track.making import UNUSABLE, make_plugin
from steelyard.domain.track.names import check_run_id
from steelyard.domain.track.ports import Backend
from steelyard.domain.track.routing import Rule
from steelyard.domain.track.thinning import Sampling
from steelyard.kernel.errors import PluginError, UsageError
from steelyard.kernel.secrets import is_secret
from steelyard.runtime.plugin_host import PluginHost
from steelyard.runtime.track.methods_backend import MethodsBackend, has_methods

LOCAL = "local"
"""The name of the journal itself: a run is always there, whatever else it is mirrored to."""

_PORT = ("open", "log", "flush", "close")


class BackendSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One backend of a run.

    Attributes:
        name: of the plugin.
        label: names the mirror; two of one plugin need labels that differ.
        options: configuration for the plugin.
        sampling: how values are thinned out for it.
        instance: a backend object that the script made itself.
    """

    name: str
    label: str
    options: dict[str, Any] = {}
    sampling: Sampling | None = None
    instance: Any = None

    def shown_options(self) -> dict[str, Any]:
        """Return the options that may be written to a file: none that look like a secret."""
        return {
            key: value
            for key, value in self.options.items()
            # Every vendor has a name of its own for the header with the key.
            if key.lower() != "headers" and not is_secret(key, value)
        }


def backend_specs(given: Any) -> tuple[BackendSpec, ...]:
    """Return the backends that `given` names; `local` is left out, being there anyway.

    Args:
        given: a name, several in a list or separated by commas, a mapping of names to options
            (an option `plugin` names the plugin where the name is only a label, and `sample` thins
            out values for it, see `Sampling`), a backend object, or a list of these.

    Raises:
        UsageError: it is none of these, a label comes twice, or a sampling makes no sense.
    """
    specs = tuple(_specs(given))
    labels = [spec.label for spec in specs]
    for label in labels:
        check_run_id(label)  # it becomes a file's name
        if labels.count(label) > 1:
            raise UsageError(
                f"Two backends are called '{label}'",
                next_step='Write {"label": {"plugin": "name", ...}} to tell them apart.',
            )
    return specs


def _specs(given: Any) -> Iterable[BackendSpec]:
    if isinstance(given, str):
        for word in given.split(","):
            name = word.strip()
            if name and name != LOCAL:
                yield BackendSpec(name=name, label=name)
    elif isinstance(given, Mapping):
        for label, options in given.items():
            yield _configured(str(label), options)
    elif isinstance(given, list | tuple | set):
        for item in given:
            yield from _specs(item)
    elif has_methods(given) or all(callable(getattr(given, name, None)) for name in _PORT):
        name = _name_of(given)
        yield BackendSpec(name=name, label=name, instance=given)
    else:
        raise UsageError(
            "This is no backend",
            got=given,
            expected="a name, a list of names, a mapping of names to options, or a backend object",
            next_step="See: steelyard plugins --kind backend",
        )


def _name_of(backend: Any) -> str:
    name = getattr(backend, "name", None)
    return name if isinstance(name, str) and name else type(backend).__name__


def _configured(label: str, options: Any) -> BackendSpec:
    if options is None or isinstance(options, Mapping):
        kept = dict(options or {})
        name, sample = str(kept.pop("plugin", label)), kept.pop("sample", None)
        return BackendSpec(
            name=name, label=label, options=kept, sampling=_sampling_of(sample, label)
        )
    (spec,) = _specs([options])
    return msgspec.structs.replace(spec, label=label)


def typed_options(name: str, words: Mapping[str, str]) -> dict[str, Any]:
    """Return options that were written as texts as what the backend's schema says that they are.

    What can't be read so stays a text: the schema's check tells what is wrong with it.

    Raises:
        PluginError: there is no such backend.
    """
    schema = standard_host().spec("backend", name).config_schema or {}
    fields = schema.get("properties", schema)
    return {key: _typed(fields.get(key), text) for key, text in words.items()}


def _typed(field: Any, text: str) -> Any:
    kind = field.get("type") if isinstance(field, Mapping) else "string"
    if kind in ("string", "str", "text"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _sampling_of(given: Any, label: str) -> Sampling | None:
    if given is None or isinstance(given, Sampling):
        return given
    try:
        return msgspec.convert(given, Sampling)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"The sampling of backend '{label}' makes no sense: {error}",
            got=given,
            expected="any of " + ", ".join(Sampling.__struct_fields__),
        ) from error


def rules_of(routing: Iterable[Rule | Mapping[str, Any]] | None) -> tuple[Rule, ...]:
    """Return routing rules, given as such or as mappings with their fields.

    Raises:
        UsageError: one of them has a field that a rule has not, or a wrong one.
    """
    rules = []
    for rule in routing or ():
        if isinstance(rule, Rule):
            rules.append(rule)
            continue
        try:
            fields = {**rule}
            if isinstance(fields.get("to"), str):
                fields["to"] = (fields["to"],)
            rules.append(msgspec.convert(fields, Rule))
        except (TypeError, msgspec.ValidationError) as error:
            raise UsageError(
                f"This is no routing rule: {error}",
                got=rule,
                expected="to, and any of source, type, name and sample",
            ) from error
    return tuple(rules)


def require(specs: Iterable[BackendSpec], host: PluginHost) -> None:
    """Check that each named backend is there and takes its options, before the run begins.

    Nothing of a backend is imported for this.

    Raises:
        PluginError: there is no such backend, or it lacks a requirement.
        ConfigError: its options are wrong.
    """
    for spec in specs:
        if spec.instance is not None:
            continue
        host.spec("backend", spec.name)
        if host.state("backend", spec.name) in UNUSABLE:
            raise PluginError(
                f"The backend '{spec.name}' can't be used: {host.why('backend', spec.name)}",
                next_step=host.install_line("backend", spec.name) or None,
            )
        host.configuration("backend", spec.name, spec.options)


def maker(spec: BackendSpec, host: PluginHost | None = None) -> Callable[[], Backend]:
    """Return what makes the backend anew."""
    if spec.instance is not None:
        return lambda: _ported(spec.instance)
    chosen = host or standard_host()

    return lambda: _ported(make_plugin(chosen, "backend", spec.name, spec.options))


def _ported(backend: Any) -> Backend:
    return MethodsBackend(backend) if has_methods(backend) else backend
