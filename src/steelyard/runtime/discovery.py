"""Finds plugins: our manifest, installed packages' entry points, plugin directories.

Nothing found here is imported: manifests are read as YAML, classes as source text.
"""

import importlib.machinery
import importlib.util
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

import msgspec
import yaml

from steelyard.plugins.manifest import Manifest, Problem, kind_of, normal_target, parse_manifest
from steelyard.plugins.registry import Registry
from steelyard.plugins.source import Scan, scan_source
from steelyard.plugins.spec import KINDS, PluginSpec

GROUPS = {
    "steelyard.plugins": "core",
    "aiperf.plugins": "aiperf",
    "tracelet.plugins": "tracelet",
}
"""Entry point groups, and the authoring style of what they hold."""

MANIFEST = "registry.yaml"


def discover(plugin_dirs: Iterable[str | Path] = ()) -> Registry:
    """Return everything there is to find; first come, first served for names."""
    registry = Registry()
    for manifest in (builtin_manifest(), *entry_point_manifests(), *directory_scans(plugin_dirs)):
        registry.add_all(manifest.specs, manifest.problems)
    return registry


def installed_version(distribution: str) -> str | None:
    """Return the installed version of `distribution`, None when it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def builtin_manifest() -> Manifest:
    """Return our own batteries."""
    here = Path(__file__).resolve().parent.parent / "builtin" / MANIFEST
    return read_manifest(here, origin="builtin")


def read_manifest(
    file: Path, *, origin: str, location: str = "", authoring_style: str = "core"
) -> Manifest:
    """Return the manifest in `file`; an unreadable one comes back as a problem, never raised."""
    try:
        data = yaml.load(file.read_bytes(), Loader=_YAML)  # noqa: S506  both loaders are safe ones
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error)
        problem = Problem(
            kind="manifest",
            name=file.parent.name,
            origin=origin,
            message=f"{file}{place}: {reason}",
        )
        return Manifest(name=file.parent.name, problems=(problem,))
    return parse_manifest(
        data, file=str(file), origin=origin, location=location, authoring_style=authoring_style
    )


_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def entry_point_manifests() -> Iterator[Manifest | Scan]:
    """Yield what each entry point of our groups declares, a package's manifest once."""
    seen: set[Path] = set()
    everything = metadata.entry_points()  # once: it reads a file of each installed distribution
    for group, style in GROUPS.items():
        for entry in sorted(everything.select(group=group), key=lambda e: (e.name, e.value)):
            origin = f"entry point {entry.name}"
            if entry.dist is not None:
                origin += f" ({entry.dist.name} {entry.dist.version})"
            if entry.attr in ("__version__", ""):
                file = _package_manifest(entry.module)
                if file is None:
                    yield _lost(entry, origin, f"package {entry.module} has no {MANIFEST}")
                elif file not in seen:
                    seen.add(file)
                    yield read_manifest(file, origin=origin, authoring_style=style)
            else:
                yield _class_entry(entry, origin, style)


def _lost(entry: metadata.EntryPoint, origin: str, reason: str) -> Scan:
    message = f"entry point {entry.name} = {entry.value}: {reason}"
    return Scan(
        problems=(Problem(kind="manifest", name=entry.name, origin=origin, message=message),)
    )


def _find_module(module: str) -> Path | None:
    """Return the directory of a package or the file of a module, without importing its parents."""
    top, *rest = module.split(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if found is None:
        return None
    if not rest and not found.submodule_search_locations:
        return Path(found.origin) if found.origin else None
    for place in found.submodule_search_locations or ():
        path = Path(place).joinpath(*rest)
        if path.is_dir():
            return path
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
    return None


def _package_manifest(package: str) -> Path | None:
    place = _find_module(package)
    if place is None:
        return None
    file = (place if place.is_dir() else place.parent) / MANIFEST
    return file if file.is_file() else None


def _class_entry(entry: metadata.EntryPoint, origin: str, style: str) -> Scan:
    target = normal_target(entry.value.partition("[")[0].strip())
    place = _find_module(entry.module)
    if target is None or place is None:
        return _lost(entry, origin, f"there is no module {entry.module}")
    source = place / "__init__.py" if place.is_dir() else place
    specs: tuple[PluginSpec, ...] = ()
    if source.suffix == ".py" and source.is_file():
        text = source.read_text(encoding="utf-8", errors="replace")
        scan = scan_source(text, module=entry.module, file=str(source), origin=origin)
        specs = tuple(s for s in scan.specs if s.target == target)
        own = tuple(p for p in scan.problems if p.name in (entry.attr, entry.module))
        if specs or own:
            return Scan(specs, own)
    kind, _, name = entry.name.partition(".")
    known = kind_of(kind)
    is_prefixed = bool(name) and known in KINDS and (known != "custom" or kind == "custom")
    version = entry.dist.version if entry.dist is not None else "0"
    return Scan((
        PluginSpec(
            kind=known if is_prefixed else "custom",
            name=name if is_prefixed else entry.name,
            target=target,
            version=version,
            origin=origin,
            authoring_style=style,
        ),
    ))  # fmt: skip


def directory_scans(plugin_dirs: Iterable[str | Path]) -> Iterator[Manifest | Scan]:
    """Yield what the files and packages in each plugin directory declare."""
    for given in plugin_dirs:
        directory = Path(given).expanduser()
        origin = f"directory {directory}"
        if not directory.is_dir():
            message = f"plugin directory {directory} does not exist"
            yield Scan(
                problems=(
                    Problem(kind="directory", name=directory.name, origin=origin, message=message),
                )
            )
            continue
        location = str(directory.resolve())
        listed = _root_manifest(directory, origin)
        if listed is not None:
            yield listed
        stated = {spec.target for spec in listed.specs} if listed is not None else set()
        for path in sorted(directory.iterdir()):
            if path.name.startswith((".", "_", "test_")) or path.name == "conftest.py":
                continue
            if path.suffix == ".py" and path.is_file():
                scan = scan_file(path, origin=origin, location=location)
                specs = tuple(spec for spec in scan.specs if spec.target not in stated)
                yield Scan(specs, scan.problems)
            elif path.is_dir() and (path / MANIFEST).is_file():
                yield read_manifest(path / MANIFEST, origin=origin, location=location)


def _root_manifest(directory: Path, origin: str) -> Manifest | None:
    """Return the manifest that lies in a plugin directory itself, None without one.

    Its classes are in modules beside it (`mod:Class`), or the directory is itself the package
    (`directory.mod:Class`).
    """
    file = directory / MANIFEST
    if not file.is_file():
        return None
    here = directory.resolve()
    manifest = read_manifest(file, origin=origin)
    return msgspec.structs.replace(
        manifest,
        specs=tuple(
            msgspec.structs.replace(spec, location=str(_import_root(here, spec.target)))
            for spec in manifest.specs
        ),
    )


def _import_root(directory: Path, target: str) -> Path:
    """Return the directory that has to be on the import path for `target` to be found."""
    top = target.partition(":")[0].partition(".")[0]
    if top == directory.name and (directory / "__init__.py").is_file():
        return directory.parent
    is_beside = (directory / f"{top}.py").is_file() or (directory / top).is_dir()
    return directory if is_beside or top != directory.name else directory.parent


def scan_file(path: Path, *, origin: str, location: str) -> Scan:
    """Return the plugin classes in one file."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return scan_source(text, module=path.stem, file=str(path), origin=origin, location=location)
