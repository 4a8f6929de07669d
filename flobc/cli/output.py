"""What people and programs read: data on stdout, talk on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Talk:
    """Sentences for the person at the terminal; ``quiet`` keeps all but errors to itself."""

    quiet: bool = False

    def say(self, sentence: str) -> None:
        """Say a sentence."""
        if not self.quiet:
            print(show_text(sentence), file=sys.stderr, flush=True)

    def warn(self, sentence: str) -> None:
        """Say a sentence that should not be overlooked."""
        self.say(f"warning: {sentence}")


def print_json(data: dict[str, object]) -> None:
    """Print one JSON object on one line of stdout."""
    print(json.dumps(data, allow_nan=False), flush=True)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line."""
    pairs = list(fields)
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        print(f"{name:<{width}}  {show_text(str(value))}")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their titles, columns aligned."""
    lines = [tuple(titles), *(tuple(map(show_text, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def show_text(text: str) -> str:
    """Return a text as one line that moves no cursor: names in a chain or a file are whatever a stranger wrote."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def show_share(value: float | None) -> str:
    """Return a number between -1 and 1 with four decimals, or a dash for none."""
    return "-" if value is None else f"{value:.4f}"
