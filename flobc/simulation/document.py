"""A scenario's file: YAML as a tree of nodes that know their lines, so that every mistake is named with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from flobc.adapters.filesystem import read_regular
from flobc.errors import DataError, UsageError
from flobc.learning.suggest import suggest

_MAX_BYTES = 1 << 20
_WIDTH = 120

Node = yaml.Node


def is_plain(node: Node) -> bool:
    """Return whether a node is a plain value."""
    return isinstance(node, yaml.ScalarNode)


def is_list(node: Node) -> bool:
    """Return whether a node is a list."""
    return isinstance(node, yaml.SequenceNode)


@dataclass(frozen=True)
class Source:
    """Where a scenario, or ``what`` else is read, comes from: its file's name, and the line of each key."""

    name: str
    lines: dict[str, int] = field(default_factory=dict)
    what: str = "scenario"

    def note(self, path: str, node: Node) -> None:
        """Remember on which line the value at ``path`` stands."""
        self.lines[path] = node.start_mark.line + 1

    def build_error(self, path: str, sentence: str) -> UsageError:
        """Return the error that names file, line and key; for a key that is not there, those of its section."""
        near = path
        while near and near not in self.lines:
            near = near.rpartition(".")[0]
        return UsageError(f"{self.name}:{self.lines.get(near, 1)}: {path or f'the {self.what}'} {sentence}")

    def read_map(self, path: str, node: Node, known: tuple[str, ...]) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of a map, its lines noted. **Raises** UsageError for one unknown or given twice."""
        if not isinstance(node, yaml.MappingNode):
            raise self.build_error(path, f"must be a map of keys, which are {', '.join(known)}.")
        seen: set[str] = set()
        for name, value in node.value:
            key = str(name.value) if isinstance(name, yaml.ScalarNode) else "?"
            place = f"{path}.{key}" if path else key
            self.note(place, name)
            if key not in known:
                of = f"{path} has" if path else f"{'An' if self.what[0] in 'aeiou' else 'A'} {self.what} has"
                sentence = f"is no key{suggest(key, known)} {of} {', '.join(known)}."
                raise self.build_error(place, sentence)
            if key in seen:
                raise self.build_error(place, "is given twice; leave one of them out.")
            seen.add(key)
            yield key, value

    def read_list(self, path: str, node: Node, of: str) -> Iterator[tuple[str, Node]]:
        """Yield each item of a list with its path. **Raises** UsageError when it is no list."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.build_error(path, f"must be a list of {of}.")
        for index, item in enumerate(node.value):
            place = f"{path}.{index}"
            self.note(place, item)
            yield place, item

    def read_text(self, path: str, node: Node, expected: str) -> str:
        """Return a plain value as it is written. **Raises** UsageError for a map, a list or nothing."""
        if not isinstance(node, yaml.ScalarNode):
            found = "a list" if isinstance(node, yaml.SequenceNode) else "a map"
            raise self.build_error(path, f"must be {expected}, not {found}.")
        if not node.value:
            raise self.build_error(path, f"must be {expected}, but nothing is given.")
        return str(node.value)


def load_text(path: Path, what: str = "scenario", page: str = "docs/simulation.md") -> str:
    """Return the text of a file that holds ``what``. **Raises** DataError when it cannot be read."""
    if path.is_dir():
        raise DataError(f"{path} is a directory, not a {what}; name the file in it.")
    try:
        data = read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"Cannot read the {what} {path}: {error.strerror}; check the path.") from error
    if data is None:
        raise DataError(f"There is no {what} {path}; {page} shows one.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"The {what} {path} is no UTF-8 text ({error}); save it as such.") from error


def parse_document(
    name: str, text: str, what: str = "scenario", page: str = "docs/simulation.md"
) -> tuple[Source, Node]:
    """Return ``name`` as a source, and the root node of its text. **Raises** UsageError naming the line."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else mark.line + 1
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UsageError(f"{name}:{line}: the {what} is no YAML: {problem}; mend it there.") from error
    except RecursionError as error:
        raise UsageError(f"{name}:1: the {what} is nested too deeply; none needs that.") from error
    if root is None:
        raise UsageError(f"{name}:1: the {what} is empty; {page} shows one.")
    return Source(name, what=what), root


def require_tree(source: Source, path: str, node: Node) -> Node:
    """Return a map that is to be merged, its lines noted. **Raises** UsageError unless it is one, each key once."""
    if not isinstance(node, yaml.MappingNode):
        raise source.build_error(path, "must be a map of keys.")
    names = tuple(str(name.value) for name, _ in node.value)
    for name, value in source.read_map(path, node, names):
        if isinstance(value, yaml.MappingNode):
            require_tree(source, f"{path}.{name}", value)
    return node


def list_items(node: Node) -> list[tuple[Node, Node]]:
    """Return the keys and values of a map, as nodes; none of what is no map."""
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def merge(base: Node, over: Node) -> Node:
    """Return ``base`` with what ``over`` says in its place: maps key by key, anything else as a whole."""
    if not isinstance(base, yaml.MappingNode) or not isinstance(over, yaml.MappingNode):
        return over
    found = {name.value: (name, value) for name, value in base.value}
    for name, value in over.value:
        before = found.get(name.value)
        found[name.value] = (name, value if before is None else merge(before[1], value))
    return yaml.MappingNode(base.tag, list(found.values()), base.start_mark, base.end_mark, flow_style=False)


def build_node(data: Any) -> Node:
    """Return plain data as a node."""
    node: Node = yaml.compose(json.dumps(data), yaml.SafeLoader)  # type: ignore[assignment]  # JSON is YAML, never empty
    return node


def nest(path: str, node: Node) -> Node:
    """Return the map that has ``node`` at a path such as ``run.sync``."""
    for name in reversed(path.split(".")):
        key = yaml.ScalarNode("tag:yaml.org,2002:str", name, node.start_mark, node.end_mark)
        node = yaml.MappingNode("tag:yaml.org,2002:map", [(key, node)], node.start_mark, node.end_mark)
    return node


def write_node(node: Node) -> str:
    """Return a node as the text of a file."""
    return str(yaml.serialize(node, Dumper=yaml.SafeDumper, allow_unicode=True, width=_WIDTH))
