"""Runs each scheme on a seed and prints every header and model: what must not depend on process or machine load.

Usage: python -m tests.support.print_runs TASK WORKERS SEED
"""

from __future__ import annotations

import json
import sys

from flobc.composition.runner import run
from flobc.protocol.chain.block import compute_header_digest
from tests.support.dialogue import build_params

ROUNDS = 3
SCHEMES = ("bsp", "ssp", "bap")


def describe_run(scheme: str, task: str, workers: int, seed: int) -> list[dict[str, str]]:
    """The digests of each block, heights ascending."""
    result = run(
        task=task,
        trainers=4,
        rounds=ROUNDS,
        seed=seed,
        params=build_params(scheme, codec="int8"),
        chunk_size=200,
        workers=workers,
    )
    return [
        {"model": block.header.model.hex(), "header": compute_header_digest(block.header).hex()}
        for block in result.blocks
    ]


def main() -> None:
    """Print one JSON object by scheme."""
    task, workers, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps({scheme: describe_run(scheme, task, workers, seed) for scheme in SCHEMES}))


if __name__ == "__main__":
    main()
