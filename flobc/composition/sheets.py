"""What every report is written with: tables for people and for programs, and the machine it was measured on."""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from flobc import __version__
from flobc.adapters.filesystem import read_regular

_MAX_BYTES = 1 << 20
_CPU_INFO = Path("/proc/cpuinfo")


def build_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = (titles, ["---"] * len(titles), *rows)
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |" for cells in lines]


def build_csv(titles: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the text of a CSV file; what a row has no value for stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, titles, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def describe_machine() -> str:
    """Return what a measurement depends on beside its seed: processor, cores, system, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0
    versions = ", ".join(f"{name} {find_version(name)}" for name in ("numpy", "torch"))
    return (
        f"{find_processor()}, {cores} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}, FLoBC {__version__}"
    )


def find_processor() -> str:
    """Return the processor's name and, where Linux says it, family and model: results may differ between them."""
    text = (read_regular(_CPU_INFO, _MAX_BYTES) or b"").decode(errors="replace") if _CPU_INFO.exists() else ""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    if "model name" not in found:
        return platform.processor() or platform.machine()
    family = f" (family {found['cpu family']}, model {found['model']})" if {"cpu family", "model"} <= set(found) else ""
    return found["model name"] + family


def find_version(package: str) -> str:
    """Return an installed package's version, or that it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
