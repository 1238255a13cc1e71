"""What of a plan goes into a cluster: the plan as a file, its input files, names of its secrets."""

import copy
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from steelyard.app.config.template import as_config
from steelyard.domain.bench.headers import variables_in
from steelyard.domain.bench.plan import Plan
from steelyard.domain.bench.targets import parse_target
from steelyard.kernel.errors import UsageError
from steelyard.runtime.path_safety import safe_read_template_path

CONFIG_DIR = "/etc/steelyard"
PLAN_FILE = "plan.yaml"
ARTIFACTS_DIR = "/artifacts"
CONFIG_MAP_MAX_BYTES = 1 << 20
"""What an API server takes of a ConfigMap's data."""

_INPUT = "input"
_REFERENCE = re.compile(r"\$\{[A-Za-z_]")
_TEMPLATE = "payload_template"


@dataclass(frozen=True)
class Carried:
    """A plan that makes sense in another place.

    Attributes:
        files: contents by their path below `CONFIG_DIR`, the plan among them.
        variables: environment variables that the controller needs, as the plan names them for
            the API key, headers and trackers; workers are told what they need over the run's bus.
    """

    files: dict[str, bytes]
    variables: tuple[str, ...]


def carry(plan: Plan) -> Carried:
    """Return `plan` with all that it needs of this machine.

    Raises:
        UsageError: it needs something that no pod has: a server on this machine, a directory of
            plugins, more input than a ConfigMap takes.
    """
    _check_urls(plan)
    if plan.options.get("plugin_dirs"):
        raise UsageError(
            "A pod has no plugin directories of this machine",
            got=", ".join(plan.options["plugin_dirs"]),
            expected="plugins that are installed in the image",
            next_step="Install them in an image of your own, and name it with --k8s-image.",
        )
    config = copy.deepcopy(as_config(plan))
    files: dict[str, bytes] = {}
    _move_files(plan, config, files)
    for section in ("kubernetes", "plugins", "track"):
        config[section] = {k: v for k, v in config[section].items() if v not in (None, [], {}, "")}
    config = {name: section for name, section in config.items() if section not in ({}, [])}
    config.pop("kubernetes", None)
    del config["service"]["run_type"]
    config["output"]["artifact_dir"] = f"{ARTIFACTS_DIR}/run"
    if plan.track is not None:
        config["track"]["directory"] = f"{ARTIFACTS_DIR}/tracked"
    _check_texts(config)
    files = {PLAN_FILE: to_yaml(config).encode(), **dict(sorted(files.items()))}
    _check_size(plan, files)
    requests = _variables(plan)
    trackers = set(variables_in(str(plan.track.options))) if plan.track is not None else set()
    return Carried(files, tuple(sorted(requests | trackers)))


def to_yaml(value: Any) -> str:
    """Return plain data as YAML: keys in their order, texts of several lines as such."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and never an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def _check_urls(plan: Plan) -> None:
    if not plan.endpoint.urls or plan.options.get("embedded_mock"):
        raise UsageError(
            "Manifests need the URL of a server",
            expected="--url, with an address that pods reach, such as http://llm.models.svc:8000",
        )
    for url in plan.endpoint.urls:
        target = parse_target(url)
        if target.unix_path or _is_loopback(target.host):
            raise UsageError(
                "In a pod this URL is the pod itself",
                got=url,
                expected="an address that pods reach, such as http://llm.models.svc:8000",
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _variables(plan: Plan) -> set[str]:
    found = {plan.endpoint.api_key_env} if plan.endpoint.api_key_env else set()
    for _, value in plan.endpoint.headers:
        found.update(variables_in(value))
    return found


def _move_files(plan: Plan, config: dict[str, Any], files: dict[str, bytes]) -> None:
    """Put what the plan reads into `files`, and its new place into `config`."""
    if plan.dataset.path:
        config["input"]["file"] = _carry(Path(plan.dataset.path), _INPUT, files)
    if plan.endpoint.ca_file:
        config["endpoint"]["ca_file"] = _carry(Path(plan.endpoint.ca_file), "ca", files)
    else:
        del config["endpoint"]["ca_file"]
    tokenizer = plan.dataset.tokenizer_options.get("path")
    if isinstance(tokenizer, str):
        place = _carry(Path(tokenizer), "tokenizer", files)
        config["tokenizer"]["options"] = {**config["tokenizer"]["options"], "path": place}
    for where in (config["endpoint"]["options"], config["endpoint"]["extra_inputs"]):
        # A template is read only where no link leads to it, and what a ConfigMap mounts is one.
        text = safe_read_template_path(where.get(_TEMPLATE))
        if text is not None:
            where[_TEMPLATE] = text


def _carry(path: Path, folder: str, files: dict[str, bytes]) -> str:
    """Put a file, or all files of a directory, into `files`; return where a pod finds it."""
    try:
        if not path.is_dir():
            files[f"{folder}/{path.name}"] = _read(path)
            return f"{CONFIG_DIR}/{folder}/{path.name}"
        size = 0
        for each in _files_below(path):
            files[f"{folder}/{each.relative_to(path).as_posix()}"] = data = _read(each)
            size += len(data)
            if size > CONFIG_MAP_MAX_BYTES:  # which is too much, however much more there is
                break
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror or error}") from error
    return f"{CONFIG_DIR}/{folder}"


def _files_below(path: Path) -> Iterator[Path]:
    return (each for each in sorted(path.rglob("*")) if each.is_file())


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(CONFIG_MAP_MAX_BYTES + 1)


def _check_size(plan: Plan, files: dict[str, bytes]) -> None:
    size = sum(len(data) for data in files.values())
    if size > CONFIG_MAP_MAX_BYTES:
        large = max(files, key=lambda name: len(files[name]))
        raise UsageError(
            "The plan and the files it reads don't fit into a ConfigMap",
            got=f"{large} with {len(files[large])} bytes or more"
            if size < 2 * CONFIG_MAP_MAX_BYTES
            else f"{size} bytes or more, most of them of {large}",
            expected=f"at most {CONFIG_MAP_MAX_BYTES} bytes in all",
            next_step="Take the first lines of the file, or synthetic prompts."
            if plan.dataset.path
            else None,
        )


def _check_texts(config: dict[str, Any]) -> None:
    """Refuse what would be filled from the environment when the plan is read again."""
    for path, text in _texts(config, ()):
        filled_later = "headers" in path or path[:1] == ("track",)
        if not filled_later and _REFERENCE.search(text):
            raise UsageError(
                "A text of the plan would be taken for an environment variable in the cluster",
                got=f"${{ in {'.'.join(path)}",
                expected="no ${NAME} outside of headers and options of trackers",
            )


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, path)
