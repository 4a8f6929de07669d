"""``flobc status`` and ``flobc blocks``: what a chain is and what its blocks say."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flobc.cli import kinds
from flobc.cli.archives import choose_path, open_chain, read_addresses, require_height
from flobc.cli.output import print_fields, print_json, print_table, show_share
from flobc.composition.local.plan import is_system_directory, list_processes
from flobc.composition.reports import describe_block
from flobc.composition.run_directory import find_holder, is_run_directory, load_settings
from flobc.errors import DataError, UsageError
from flobc.protocol.bounds import PPM
from flobc.protocol.params import Genesis, get_chain_id, get_quorum

if TYPE_CHECKING:
    from flobc.composition.archive import ChainArchive


def execute_status(arguments: Namespace) -> int:
    """Print what a chain is and how far it is."""
    archive = open_chain(arguments)
    path = Path(archive.name) if read_addresses(arguments) else choose_path(arguments)
    status = describe_chain(archive, path)
    if arguments.json:
        print_json(status)
    else:
        print_fields((name.replace("_", " "), show_value(value)) for name, value in status.items())
    return 0


def describe_chain(archive: ChainArchive, path: Path) -> dict[str, object]:
    """Return a chain's status as JSON data."""
    tests, height = archive.tests(), archive.height
    head = read_block(archive, height) if height else None
    return {
        "height": height,
        "head": None if head is None else head["header"],
        "chain_id": get_chain_id(archive.genesis).hex(),
        "test_accuracy": tests[max(tests)] if tests else None,
        **describe_run(path, archive.genesis),
        **describe_genesis(archive.genesis),
        "path": str(path),
    }


def describe_run(path: Path, genesis: Genesis) -> dict[str, object]:
    """Return what only a run's directory knows; an export is nobody's run."""
    if not is_run_directory(path):
        return {"running": False}
    settings = load_settings(path, genesis.params)
    return {
        **describe_processes(path),
        "rounds": settings.rounds,
        "seed": settings.seed,
        "preset": settings.preset,
        "sharding": settings.sharding,
        "attacks": list(settings.attacks),
    }


def describe_processes(path: Path) -> dict[str, object]:
    """Return whether a run or a system runs, and which of a system's services do not."""
    if not is_system_directory(path):
        return {"running": find_holder(path) is not None}
    processes = list_processes(path)
    stopped = [name for name, number in processes.items() if number is None]
    return {"running": len(stopped) < len(processes), "services": len(processes), "stopped": stopped}


def describe_genesis(genesis: Genesis) -> dict[str, object]:
    """Return the members and params that people look for first."""
    params = genesis.params
    return {
        "task": genesis.task,
        "parameters": genesis.model.size,
        "trainers": len(genesis.trainers),
        "validators": len(genesis.validators),
        "quorum": get_quorum(len(genesis.validators)),
        "sync": params.sync.scheme,
        "majority_ratio": params.sync.majority_ratio_ppm / PPM,
        "period_s": params.sync.period_ms / 1000,
        "trust": params.trust.policy,
        "aggregator": params.aggregation.rule,
        "codec": params.codec,
        "score_metric": params.scoring.metric,
    }


def execute_blocks(arguments: Namespace) -> int:
    """Print blocks: a table, or one JSON object a line."""
    first, last = (read_height(arguments, name) for name in ("from_height", "to_height"))
    only = read_height(arguments, "height")
    if only is not None and (first, last) != (None, None):
        raise UsageError("--height is one block, --from and --to are several; give one or the other.")
    if first is not None and last is not None and first > last:
        raise UsageError(f"--from {first} is above --to {last}, so no block is between them; swap the two.")
    archive = open_chain(arguments)
    for flag, value in (("--height", only), ("--from", first), ("--to", last)):
        if value is not None:
            require_height(value, flag, archive.height)
    wanted = range(first or 1, (last or archive.height) + 1) if only is None else range(only, only + 1)
    blocks = (read_block(archive, height) for height in wanted)
    if arguments.json:
        for block in blocks:
            print_json(block)
    elif only is not None:
        print_block(next(blocks))
    else:
        print_table(BLOCK_TITLES, (describe_row(block) for block in blocks))
    return 0


def read_height(arguments: Namespace, name: str) -> int | None:
    """Return a height that was given. **Raises** UsageError when it is no whole number."""
    given = getattr(arguments, name)
    return None if given is None else int(kinds.whole(1).read(f"--{name.removesuffix('_height')}", given))


def read_block(archive: ChainArchive, height: int) -> dict[str, Any]:
    """Return a block as JSON data. **Raises** DataError when it is missing."""
    block = archive.block(height)
    if block is None:
        raise DataError(f"Block {height} is missing although the chain has height {archive.height}; run flobc verify.")
    return describe_block(block)


BLOCK_TITLES = ("height", "closed by", "accepted", "rejected", "loss", "accuracy", "seals", "header", "model")


def describe_row(block: dict[str, Any]) -> tuple[str, ...]:
    """Return a block's row under ``BLOCK_TITLES``."""
    return (
        str(block["height"]),
        block["closing"],
        str(len(block["accepted"])),
        str(len(block["rejected"])),
        show_share(block["loss"]),
        show_share(block["accuracy"]),
        str(block["seals"]),
        block["header"][:16],
        block["model_digest"][:16],
    )


def print_block(block: dict[str, Any]) -> None:
    """Print one block with its decisions."""
    lists = ("accepted", "rejected", "unused")
    print_fields((name.replace("_", " "), show_value(value)) for name, value in block.items() if name not in lists)
    print()
    decisions = [item for name in lists for item in block[name]]
    titles = ("update", "trainer", "base", "k", "score", "reason", "staleness", "weight")
    print_table(
        titles,
        (
            (
                item["update"][:16],
                item["trainer"][:8],
                str(item["base_height"]),
                str(item["k"]),
                show_share(item["score"]),
                item["reason"],
                str(item["staleness"]),
                show_share(item["weight"]),
            )
            for item in decisions
        ),
    )


def show_value(value: object) -> str:
    """Return a status value for people."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(str(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
