"""What an examination finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``fix`` is the command that mends it, where there is one."""

    level: Level
    check: str
    message: str
    fix: str | None = None


def build_failure(check: str, error: Exception) -> Finding:
    """Return the problem that an error of ours describes, its way out included."""
    return Finding("problem", check, str(error))
