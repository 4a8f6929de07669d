"""Helps a person who mistyped a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggest(name: str, names: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest of ``names``, or a full stop when none is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else "."
