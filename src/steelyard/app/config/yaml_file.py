"""Reads a YAML file within bounds, keeping the line and column of every key and value."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from steelyard.kernel.errors import ConfigError

LARGEST_BYTES = 1 << 20
DEEPEST = 32
MOST_NODES = 20_000

_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_MERGE = "tag:yaml.org,2002:merge"
_STRING = "tag:yaml.org,2002:str"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_SCALARS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp")
)

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        """As editors understand it: `run.yaml:3:5`."""
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(slots=True)
class Document:
    """The data of a file, and where each part of it stands.

    Attributes:
        data: plain dicts, lists and scalars.
        values: marks of values by path.
        keys: marks of the keys of mappings by path.
        problems: one line for each mistake of the file itself.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict)
    values: dict[Keys, Mark] = field(default_factory=dict)
    keys: dict[Keys, Mark] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_yaml(path: Path, environ: Mapping[str, str]) -> Document:
    """Return the content of `path`, its `${VAR}` and `${VAR:-default}` filled from `environ`.

    Values below `headers` and `track` keep their `${VAR}`: those are filled when a request is made
    or a tracker opened.

    Raises:
        ConfigError: the file can't be read, is not YAML, or exceeds a bound (1 MiB, depth 32,
            20,000 nodes after aliases).
    """
    name = str(path)
    text = _read_text(path)
    _check_depth(text, name)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_error(name, error) from None
    document = Document(file=name)
    if root is None:
        return document
    if not isinstance(root, MappingNode):
        raise ConfigError(f"{name} is not a configuration", [f"{name}:1:1: expected a mapping"])
    document.data = _Builder(document, environ).build(root, (), 0)
    return document


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
        if len(raw) > LARGEST_BYTES:
            raise ConfigError(f"{path} is larger than {LARGEST_BYTES} bytes")
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"Can't read the configuration file {path}: {error.strerror}",
            next_step=None if path.exists() else f"`steelyard config init {path}` writes one.",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})") from None


def _check_depth(text: str, name: str) -> None:
    """Refuse deep nesting before anything recursive sees it; the parser itself does not recurse."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > DEEPEST:
                    where = _mark_of(name, event)
                    raise ConfigError(f"{name} is nested too deep", [f"{where}: depth > {DEEPEST}"])
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except yaml.YAMLError as error:
        raise _syntax_error(name, error) from None


def _mark_of(file: str, part: Any) -> Mark:
    """Return where a node or event of PyYAML starts; its marks count from 0."""
    return Mark(file, part.start_mark.line + 1, part.start_mark.column + 1)


def _syntax_error(name: str, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else name
    return ConfigError(f"{name} is not valid YAML", [f"{where}: {problem}"])


class _Builder:
    """Turns nodes into data, counting them so that aliases can't multiply without end."""

    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self._scalars = yaml.constructor.SafeConstructor()
        self._nodes = 0

    def build(self, node: Node, path: Keys, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MOST_NODES or depth > DEEPEST:
            raise ConfigError(
                f"{self._document.file} grows too large through its aliases",
                [f"{self._mark(node)}: more than {MOST_NODES} nodes or {DEEPEST} levels"],
            )
        self._document.values[path] = self._mark(node)
        if isinstance(node, MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            items = enumerate(node.value)
            return [self.build(item, (*path, index), depth + 1) for index, item in items]
        return self._scalar(node, path)

    def _mapping(self, node: MappingNode, path: Keys, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        own: set[str] = set()
        for key_node, value_node, merged in self._entries(node, depth):
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else "?"
            if merged and key in own:
                continue
            if not merged and key in own:
                mark = self._mark(key_node)
                self._problem(key_node, f"the key '{key}' is given twice", mark)
                continue
            if not merged:
                own.add(key)
            self._document.keys[(*path, key)] = self._mark(key_node)
            result[key] = self.build(value_node, (*path, key), depth + 1)
        return result

    def _entries(self, node: MappingNode, depth: int) -> Iterator[tuple[Node, Node, bool]]:
        """Yield own entries first, then those of `<<` that they do not replace."""
        for key, value in node.value:
            if key.tag != _MERGE:
                yield key, value, False
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            sources = value.value if isinstance(value, SequenceNode) else [value]
            for source in sources:
                if not isinstance(source, MappingNode) or depth > DEEPEST:
                    self._problem(value, "`<<` takes a mapping or a list of mappings")
                    continue
                yield from ((k, v, True) for k, v, _ in self._entries(source, depth + 1))

    def _scalar(self, node: Node, path: Keys) -> Any:
        if node.tag not in _SCALARS:
            self._problem(node, f"the tag {node.tag} is not allowed")
            return None
        if node.tag == _TIMESTAMP:
            return node.value
        if node.tag != _STRING:
            try:
                return self._scalars.construct_object(node)
            except ValueError:
                return node.value
        return self._filled(node, path)

    def _filled(self, node: Node, path: Keys) -> str:
        text = str(node.value)
        if "headers" in path or path[:1] == ("track",) or "${" not in text:
            return text

        def value_of(match: re.Match[str]) -> str:
            default: str | None = match[2]
            found = self._environ.get(match[1], default)
            if found is None:
                self._problem(node, f"the environment variable {match[1]} is not set")
                return ""
            return found

        return _REFERENCE.sub(value_of, text)

    def _mark(self, node: Node) -> Mark:
        return _mark_of(self._document.file, node)

    def _problem(self, node: Node, text: str, mark: Mark | None = None) -> None:
        self._document.problems.append(f"{mark or self._mark(node)}: {text}")
