"""``flobc-trainer``: Follows a chain, trains on its own shard and publishes signed updates."""

from __future__ import annotations

import sys

from flobc.composition.services.serving import serve
from flobc.composition.services.settings import TrainerSettings
from flobc.composition.services.tracing import traced
from flobc.composition.services.trainer import run_trainer
from flobc.runtime.worker_threads import prepare_worker

ABOUT = "Follows a chain, trains on its own shard and publishes signed updates."


def main() -> int:
    """Be a trainer until a signal comes."""
    return serve("flobc-trainer", ABOUT, TrainerSettings, traced("flobc-trainer", run_trainer), prepare_worker)


if __name__ == "__main__":
    sys.exit(main())
