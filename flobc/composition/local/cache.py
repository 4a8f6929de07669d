"""Where downloads and notes are kept that may be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def get_cache() -> Path:
    """Return the project's folder below ``$XDG_CACHE_HOME``, usually ``~/.cache/flobc``; it may not be there yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "flobc")
