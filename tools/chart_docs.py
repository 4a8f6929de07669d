"""Write what describes the chart's values, all from the comments in values.yaml, or check that it is so.

Each key's comment becomes its description in values.schema.json, and its row in the table of README.md.

Usage: python tools/chart_docs.py [--check]
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "flobc"
README = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"
KEY = re.compile(r"^( *)([A-Za-z][\w]*):(.*)$")
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"


@dataclass(frozen=True)
class Value:
    """A key of values.yaml: its path, what is said of it, and its default; None where it holds more keys."""

    path: tuple[str, ...]
    about: str
    default: str | None


def read_values(text: str) -> list[Value]:
    """Return every documented key in order. **Raises** ValueError for one that nothing is said of."""
    defaults: dict[str, Any] = yaml.safe_load(text)
    found: list[Value] = []
    comment: list[str] = []
    open_keys: list[str] = []
    skipped: int | None = None
    for line in text.splitlines():
        key = KEY.match(line)
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip().removeprefix("#").strip())
        elif key is None:
            comment = []
        elif skipped is None or len(key[1]) <= skipped:
            depth = len(key[1]) // 2
            open_keys[depth:] = [key[2]]
            default = find(defaults, open_keys)
            is_group = isinstance(default, dict) and bool(default) and not is_leaf(key[2])
            skipped = None if is_group else len(key[1])
            if not comment:
                raise ValueError(f"values.yaml says nothing of {'.'.join(open_keys)}; write a comment above it.")
            found.append(Value(tuple(open_keys), " ".join(comment), None if is_group else json.dumps(default)))
            comment = []
    return found


def is_leaf(key: str) -> bool:
    """Whether a key's map is one value: what Kubernetes takes as a whole."""
    return key in ("resources", "labels")


def find(values: Any, path: list[str]) -> Any:
    """Return what is at a path."""
    for key in path:
        values = values[key]
    return values


def describe_schema(schema: dict[str, Any], values: list[Value]) -> str:
    """Return the schema with each key's description."""
    for value in values:
        place = schema
        for key in value.path:
            place = place["properties"][key]
        place.pop("description", None)
        about = dict(place)
        place.clear()
        place.update({"description": value.about} | about)
    return json.dumps(schema, indent=2) + "\n"


def build_table(values: list[Value]) -> str:
    """Return the table of all keys in Markdown."""
    rows = ["| key | default | meaning |", "|---|---|---|"]
    for value in values:
        if value.default is not None:
            about = value.about.replace("|", "\\|")
            rows.append(f"| `{'.'.join(value.path)}` | `{value.default}` | {about} |")
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Write the files, or compare; 1 when they differ."""
    values = read_values((CHART / "values.yaml").read_text(encoding="utf-8"))
    readme = README.read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN)
    fresh = {
        README: f"{before}{BEGIN}\n{build_table(values)}\n{END}{rest.split(END)[1]}",
        SCHEMA: describe_schema(json.loads(SCHEMA.read_text(encoding="utf-8")), values),
    }
    different = [path for path, text in fresh.items() if path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in different:
            print(f"{path.relative_to(ROOT)} is not what values.yaml says; run `make charts`.")
        return 1 if different else 0
    for path in different:
        path.write_text(fresh[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
