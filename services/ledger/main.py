"""``flobc-ledger``: Records certified blocks in Redis and serves them."""

from __future__ import annotations

import sys

from flobc.composition.services.ledger import run_ledger
from flobc.composition.services.serving import serve
from flobc.composition.services.settings import LedgerSettings
from flobc.composition.services.tracing import traced

ABOUT = "Records certified blocks in Redis and serves them."


def main() -> int:
    """Be a ledger until a signal comes."""
    return serve("flobc-ledger", ABOUT, LedgerSettings, traced("flobc-ledger", run_ledger))


if __name__ == "__main__":
    sys.exit(main())
