"""What a terminal can show."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def is_plain(stream: TextIO | None = None) -> bool:
    """Return whether a stream, else stderr, gets plain lines: it is no terminal, a dumb one, or without colour."""
    is_terminal = (stream or sys.stderr).isatty()
    return not is_terminal or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
