"""The spans that a local system's services wrote, and those that belong to one update."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flobc.errors import DataError, UsageError

SUFFIXES = (".jsonl.old", ".jsonl")
_DIGITS = re.compile("[0-9a-fA-F]+")


@dataclass(frozen=True)
class WrittenSpan:
    """A span as its file has it; ``links`` are the ids of the traces that it joins. Times are nanoseconds."""

    node: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str | int]
    links: frozenset[str]


def get_traces_file(root: Path, node: str) -> Path:
    """Return where a node of a local system writes its spans."""
    return root / "traces" / f"{node}.jsonl"


def read_spans(root: Path) -> list[WrittenSpan]:
    """Return all spans of a local system. **Raises** UsageError when none were written, DataError for damaged files."""
    folder = root / "traces"
    files = sorted(path for path in folder.glob("*") if path.name.endswith(SUFFIXES)) if folder.is_dir() else []
    if not files:
        raise UsageError(f"No spans were written in {root}; start its services with: flobc up --traces --dir {root}")
    return [span for path in files for span in _read_file(path)]


def find_update(spans: Iterable[WrittenSpan], digits: str) -> str:
    """Return the id of the one update that begins with ``digits``. **Raises** UsageError."""
    if not _DIGITS.fullmatch(digits):
        raise UsageError(f"An update's id is hex digits, not {digits!r}; give one as flobc blocks --json shows them.")
    known = {str(span.attributes["update"]) for span in spans if "update" in span.attributes}
    found = sorted(update for update in known if update.startswith(digits.lower()))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"No span speaks of an update {digits}; give an id as flobc blocks --json shows them.")
    raise UsageError(f"{len(found)} updates begin with {digits}; give more digits, such as {found[0][:16]}.")


def select_update(spans: Iterable[WrittenSpan], update: str) -> list[WrittenSpan]:
    """Return the spans of an update's traces and of those that joined them, each below its parent's depth-first."""
    spans = list(spans)
    own = {span.trace_id for span in spans if span.attributes.get("update") == update}
    joined = own | {span.trace_id for span in spans if span.links & own}
    return [span for span in spans if span.trace_id in joined]


def arrange(spans: Iterable[WrittenSpan]) -> Iterator[tuple[int, WrittenSpan]]:
    """Yield each span with its depth: parents before children, and else by the time at which they began."""
    ordered = sorted(spans, key=lambda span: span.start_ns)
    known = {span.span_id for span in ordered}
    children: dict[str, list[WrittenSpan]] = {}
    for span in ordered:
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)
    waiting = [(0, span) for span in reversed(children.get("", []))]
    while waiting:
        depth, span = waiting.pop()
        yield depth, span
        waiting += [(depth + 1, child) for child in reversed(children.get(span.span_id, []))]


def _read_file(path: Path) -> Iterator[WrittenSpan]:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            yield _build_span(path.name.partition(".")[0], json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):  # it is being written
                return
            raise DataError(f"Line {number} of {path} is no span ({error}); move the file aside.") from error


def _build_span(node: str, data: dict[str, object]) -> WrittenSpan:
    links, attributes = data["links"], data["attributes"]
    if not isinstance(links, list) or not isinstance(attributes, dict):
        raise TypeError("links or attributes are of another kind")
    return WrittenSpan(
        node,
        str(data["name"]),
        str(data["trace_id"]),
        str(data["span_id"]),
        str(data["parent_id"]),
        int(str(data["start_ns"])),
        int(str(data["end_ns"])),
        attributes,
        frozenset(str(link["trace_id"]) for link in links),
    )
