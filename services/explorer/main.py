"""``flobc-explorer``: Shows a chain and its training as web pages, from what ledgers serve."""

from __future__ import annotations

import sys

from flobc.composition.services.explorer import run_explorer
from flobc.composition.services.serving import serve
from flobc.composition.services.settings import ExplorerSettings

ABOUT = "Shows a chain and its training as web pages, from what ledgers serve."


def main() -> int:
    """Be an explorer until a signal comes."""
    return serve("flobc-explorer", ABOUT, ExplorerSettings, run_explorer, workers=1)


if __name__ == "__main__":
    sys.exit(main())
