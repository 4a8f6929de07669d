"""What the terminal on stderr can show."""

from __future__ import annotations

import os
import sys


def is_plain() -> bool:
    """Return whether stderr should get plain lines: it is no terminal, a dumb one, or colour is not wanted."""
    return not sys.stderr.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
