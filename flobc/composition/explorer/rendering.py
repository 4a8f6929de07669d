"""Templates: what comes from the chain or a viewer is escaped; only what was rendered so is taken as it is."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flobc.protocol.params import SCORE_ONE
from flobc.protocol.trust.weights import WEIGHT_ONE

HERE = Path(__file__).parent
SHORT_DIGITS = 12
NOTHING = "-"
_BYTE_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def build_environment() -> Environment:
    """Return the templates with their filters."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "short": lambda data: data.hex()[:SHORT_DIGITS],
        "hex": lambda data: data.hex(),
        "millionths": show_millionths,
        "weight": lambda value: show_percent(value / WEIGHT_ONE),
        "percent": show_percent,
        "size": show_size,
        "number": lambda value: f"{value:,}",
    }
    return environment


def show_millionths(value: float | None) -> str:
    """Return a score, loss or accuracy with four decimals, or a dash for none."""
    return NOTHING if value is None else f"{value / SCORE_ONE:.4f}"


def show_percent(share: float | None) -> str:
    """Return a share of 1 in per cent, or a dash for none."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def show_size(size: float) -> str:
    """Return a number of bytes in a unit that people read."""
    place = 0
    while size >= 1024 and place < len(_BYTE_UNITS) - 1:
        size, place = size / 1024, place + 1
    return f"{size:.1f} {_BYTE_UNITS[place]}" if place else f"{size:.0f} bytes"
