"""From nodes to frozen dataclasses: a field's metadata says how its value is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from flobc.errors import UsageError
from flobc.simulation.document import Node, Source
from flobc.simulation.units import Kind

T = TypeVar("T")

Read = Callable[[Source, str, Node], Any]
_READ = "read"


def plain(kind: Kind) -> Read:
    """Return what reads a plain value."""
    return lambda source, path, node: read_plain(source, path, node, kind)


def key(kind: Kind, default: Any = dataclasses.MISSING) -> Any:
    """Return a field for a plain value; without a default the key must be there."""
    return dataclasses.field(default=default, metadata={_READ: plain(kind)})


def keys(kind: Kind) -> Any:
    """Return a field for a list of plain values."""

    def read(source: Source, path: str, node: Node) -> Any:
        items = source.read_list(path, node, "values")
        return tuple(read_plain(source, place, item, kind) for place, item in items)

    return dataclasses.field(default=(), metadata={_READ: read})


def section(cls: type[Any]) -> Any:
    """Return a field for a map of its own."""

    def read(source: Source, path: str, node: Node) -> Any:
        return read_record(source, path, node, cls)

    return dataclasses.field(default_factory=cls, metadata={_READ: read})


def sections(cls: type[Any]) -> Any:
    """Return a field for a list of maps."""

    def read(source: Source, path: str, node: Node) -> Any:
        items = source.read_list(path, node, "maps")
        return tuple(read_record(source, place, item, cls) for place, item in items)

    return dataclasses.field(default=(), metadata={_READ: read})


def custom(read: Read, default: Any) -> Any:
    """Return a field that ``read`` reads."""
    return dataclasses.field(default=default, metadata={_READ: read})


def read_plain(source: Source, path: str, node: Node, kind: Kind) -> Any:
    """Return a plain value. **Raises** UsageError naming line and key."""
    given = source.read_text(path, node, kind.expected)
    try:
        return kind.read(given)
    except UsageError as error:
        sentence = str(error)
        if not sentence.startswith("must be "):
            sentence = f"cannot be {given!r}: {sentence}"
        raise source.build_error(path, sentence) from error


def read_record(source: Source, path: str, node: Node, cls: type[T]) -> T:
    """Return the dataclass that a map describes. **Raises** UsageError for a wrong, doubled, missing or unknown key."""
    reads = {item.name: item.metadata[_READ] for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return read_fields(source, path, node, cls, reads)


def read_fields(source: Source, path: str, node: Node, cls: type[T], reads: Mapping[str, Read]) -> T:
    """As ``read_record``, for a dataclass whose fields' readers are given apart from it."""
    names = {name.rstrip("_"): name for name in reads}  # a key may be a word of Python's, such as ``from``
    values: dict[str, Any] = {}
    for name, value in source.read_map(path, node, tuple(names)):
        place = f"{path}.{name}" if path else name
        values[names[name]] = reads[names[name]](source, place, value)
    for item in dataclasses.fields(cls):  # type: ignore[arg-type]
        is_needed = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if is_needed and item.name not in values:
            raise source.build_error(path, f"lacks the key {item.name.rstrip('_')}; add it.")
    return cls(**values)
