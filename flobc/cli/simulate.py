"""``flobc simulate``: let a scenario's world go on, verify the chain that it leaves, and say what was found."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from flobc.cli import kinds
from flobc.cli.live import build_progress
from flobc.cli.output import Talk, print_fields, print_json, print_table, show_share
from flobc.cli.places import check_folder, check_run_place, expand_path, get_data_directory, move_aside
from flobc.composition.run_directory import is_run_directory, load_height, validate_room
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.simulation.loading import World, load_world
from flobc.simulation.results import JSON_NAME, RoundRow
from flobc.simulation.simulate import SimulationResult, simulate

MAX_ROWS = 20
"""Rounds and trainers shown; the files have all."""
_OVERRIDES = {"seed": kinds.seed(), "rounds": kinds.whole(1)}
_ROUND_TITLES = ("round", "time", "test accuracy", "accepted", "rejected", "bytes", "staleness", "closed by")


def execute(arguments: Namespace) -> int:
    """Simulate and print what was found; returns the exit code."""
    started_s = time.monotonic()
    talk = Talk(arguments.quiet)
    world = load_world(expand_path(arguments.scenario), read_overrides(arguments), get_data_directory())
    workers = kinds.whole(0, 1_024).read("--workers", arguments.workers)
    root, out = read_place(arguments), None if arguments.out is None else expand_path(arguments.out)
    if out is not None:
        check_folder(out, "--out")
    moved = move_aside(root) if root is not None and is_run_directory(root) else None
    progress, shown = build_progress(talk, describe_opening(world, root, moved))
    try:
        with shown:
            result = simulate(world, directory=root, out=out, observer=progress, workers=workers)
    except KeyboardInterrupt:
        talk.say(describe_stop(world, root, out))
        raise
    seconds = time.monotonic() - started_s
    places = [str(place) for place in (root, out) if place is not None]
    if arguments.json:
        print_json(describe_end(world, result, places, seconds))
    else:
        print_end(world, result, places, seconds)
    return 0


def read_overrides(arguments: Namespace) -> dict[str, Any]:
    """Return the keys of ``run`` that the command line replaces. **Raises** UsageError."""
    given = {name: getattr(arguments, name) for name in _OVERRIDES if getattr(arguments, name) is not None}
    return {name: _OVERRIDES[name].read(f"--{name}", value) for name, value in given.items()}


def read_place(arguments: Namespace) -> Path | None:
    """Return where the chain is kept, if anywhere. **Raises** UsageError unless there is room for a new one."""
    if arguments.dir is None:
        return None
    root = expand_path(arguments.dir)
    check_run_place(root)
    if not is_run_directory(root):
        validate_room(root)
    elif not arguments.new:
        raise UsageError(
            f"There is a run in {root} already, and a simulation does not go on with one; start anew with --new, which "
            "moves it aside, or choose another --dir."
        )
    return root


def describe_opening(world: World, root: Path | None, moved: Path | None) -> str:
    """Return what is simulated and where it is kept."""
    settings = world.settings
    kept = "in memory" if root is None else f"kept in {root}"
    aside = f" (the run that was there is now in {moved})" if moved else ""
    return (
        f"{settings.task}: a world of {show_count(settings.trainers, 'trainer')} and "
        f"{show_count(settings.validators, 'validator')}, {show_count(settings.rounds, 'round')}, "
        f"seed {settings.seed}, {kept}{aside}"
    )


def describe_stop(world: World, root: Path | None, out: Path | None) -> str:
    """Return what an interrupted simulation leaves."""
    places = [str(place) for place in (root, out) if place is not None and (place / JSON_NAME).is_file()]
    if not places:
        return "Stopped; nothing is kept."
    reached = "" if root is None else f" at height {load_height(root)} of {world.settings.rounds}"
    anew = " with --new" if root is not None else ""
    return (
        f"Stopped{reached}. Results up to there are in {' and '.join(places)}; a simulation cannot go on from them: "
        f"give the same command{anew} to begin anew."
    )


def describe_end(world: World, result: SimulationResult, places: list[str], seconds: float) -> dict[str, object]:
    """Return a simulation's end as JSON data."""
    results = result.results
    return {
        "height": results.height,
        "head": results.head,
        "verified": True,
        "virtual_s": results.virtual_ms / 1000,
        "test_accuracy": results.test_accuracy,
        "accepted": sum(row.accepted for row in results.rounds),
        "rejected": sum(sum(row.rejected.values()) for row in results.rounds),
        "seconds": round(seconds, 3),
        "kept": places,
        "seed": world.settings.seed,
        "task": world.settings.task,
    }


def print_end(world: World, result: SimulationResult, places: list[str], seconds: float) -> None:
    """Print a simulation's end for people."""
    results = result.results
    accepted = sum(row.accepted for row in results.rounds)
    rejected = sum(sum(row.rejected.values()) for row in results.rounds)
    print_table(_ROUND_TITLES, (describe_round(row) for row in results.rounds[-MAX_ROWS:]))
    print()
    print_fields(
        (
            ("height", results.height),
            ("head", results.head),
            ("test accuracy", show_share(results.test_accuracy)),
            ("verified", "yes: every certificate, and every step from the genesis to the head"),
            ("updates", f"{accepted} accepted, {rejected} rejected"),
            ("virtual time", f"{results.virtual_ms / 1000:.1f} s"),
            ("seconds", f"{seconds:.1f}"),
            ("seed", world.settings.seed),
            ("kept in", ", ".join(places) or "nowhere; --dir keeps the chain, --out the results"),
        )
    )


def describe_round(row: RoundRow) -> tuple[str, ...]:
    """Return a round's line under ``_ROUND_TITLES``."""
    rejected = ", ".join(f"{count} {reason}" for reason, count in row.rejected.items())
    return (
        str(row.height),
        f"{row.virtual_ms / 1000:.1f} s",
        show_share(row.test_accuracy),
        str(row.accepted),
        rejected or "-",
        str(row.payload_bytes),
        f"{row.mean_staleness:.2f}",
        row.closing,
    )
