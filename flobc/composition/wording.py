"""How sentences for people are put together."""

from __future__ import annotations


def show_count(count: int, thing: str) -> str:
    """Return a number with what there is so many of, such as ``1 trainer`` and ``2 trainers``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
