"""What a measurement ran on: a figure without its machine says nothing."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path


def get_machine() -> dict[str, str | int | float]:
    """Describe this machine: processor, usable cores, memory in GiB, system, Python, numpy, load."""
    return {
        "cpu": get_cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": platform.platform(),
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def get_cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def format_machine(machine: dict[str, str | int | float]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['os']}, "
        f"Python {machine['python']}, numpy {machine['numpy']}, load {machine['load_1min']} at the start"
    )
