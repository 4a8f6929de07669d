"""``flobc-validator``: Scores updates on its own shard, votes, aggregates and seals."""

from __future__ import annotations

import sys

from flobc.composition.services.serving import serve
from flobc.composition.services.settings import ValidatorSettings
from flobc.composition.services.validator import run_validator
from flobc.composition.services.workers import prepare_worker

ABOUT = "Scores updates on its own shard, votes, aggregates and seals."


def main() -> int:
    """Be a validator until a signal comes."""
    return serve("flobc-validator", ABOUT, ValidatorSettings, run_validator, prepare_worker)


if __name__ == "__main__":
    sys.exit(main())
