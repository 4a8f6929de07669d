"""``flobc-validator``: Scores updates on its own shard, votes, aggregates and seals."""

from __future__ import annotations

import sys

from flobc.composition.services.serving import serve
from flobc.composition.services.settings import ValidatorSettings
from flobc.composition.services.tracing import traced
from flobc.composition.services.validator import run_validator

ABOUT = "Scores updates on its own shard, votes, aggregates and seals."


WORKERS = 8
"""Threads that wait for disks and for the processes that score; none of them computes."""


def main() -> int:
    """Be a validator until a signal comes."""
    return serve("flobc-validator", ABOUT, ValidatorSettings, traced("flobc-validator", run_validator), workers=WORKERS)


if __name__ == "__main__":
    sys.exit(main())
