"""Which metrics an expression of Prometheus asks for, and whether anybody counts them."""

from __future__ import annotations

import re
from collections.abc import Collection

from flobc.adapters.prometheus import CATALOGUE

OWN = {
    "up",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
}
"""What Prometheus and its client bring themselves."""
_NAME = re.compile(r"\b(flobc[a-z0-9_:]*|process_[a-z_]+|up)\b")


def list_known_names() -> set[str]:
    """Every name that a series of ours may have."""
    known = set(OWN)
    for metric in CATALOGUE:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        known |= {metric.name + suffix for suffix in suffixes}
    return known


def find_names(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    without_texts = re.sub(r'"[^"]*"', '""', expression)
    return set(_NAME.findall(without_texts))


def find_unknown_names(expression: str, recorded: Collection[str] = ()) -> set[str]:
    """Those that nobody counts; there must be some at all."""
    names = find_names(expression)
    assert names, f"{expression} asks for nothing"
    return names - list_known_names() - set(recorded)
