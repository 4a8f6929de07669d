"""``flobc run``: start a run, or go on with one that was stopped, and say how it ended."""

from __future__ import annotations

import dataclasses
import shutil
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flobc.cli.live import build_progress
from flobc.cli.options import Given, apply_options, find_conflict
from flobc.cli.output import Talk, print_json
from flobc.cli.places import check_run_place, claim_run, expand_path, get_data_directory, list_runs, move_aside
from flobc.cli.summary import build_summary, describe_summary, print_summary
from flobc.cli.verify import check_chain
from flobc.cli.web import open_run_pages
from flobc.composition.embedded import build_attacks
from flobc.composition.presets import get_preset
from flobc.composition.run_directory import (
    find_holder,
    is_run_directory,
    load_genesis,
    load_height,
    load_settings,
    validate_no_simulation,
    validate_room,
    validate_unused,
)
from flobc.composition.runner import RunResult, run
from flobc.composition.settings import RunSettings, build_train_settings, validate_settings
from flobc.composition.wording import show_count
from flobc.errors import DataError, UsageError
from flobc.learning.device import set_device
from flobc.learning.tasks import get_task


@dataclass(frozen=True)
class Plan:
    """A run to be made: ``root`` is None until a new directory is claimed; ``aside`` says to move an old run away."""

    settings: RunSettings
    root: Path | None
    aside: bool = False


def execute(arguments: Namespace) -> int:
    """Run and print the summary; returns the exit code."""
    started_s = time.monotonic()
    talk = Talk(arguments.quiet)
    plan = build_plan(arguments.given, arguments.dir, anew=arguments.new, talk=talk)
    check_settings(plan.settings)
    with open_run_pages(arguments, talk) as pages, prepare_directory(plan) as (root, moved):
        pages.start(root)
        progress, shown = build_progress(talk, describe_opening(plan.settings, root, moved))
        try:
            with shown:
                result = run(plan.settings, directory=root, observer=progress)
        except KeyboardInterrupt:
            talk.say(describe_stop(plan.settings, root))
            raise
        code = conclude(plan.settings, result, root, started_s, arguments)
        pages.stay()
        return code


def conclude(settings: RunSettings, result: RunResult, root: Path, started_s: float, arguments: Namespace) -> int:
    """Verify the run's own chain and print its end. **Raises** VerificationError."""
    check_chain(root, Talk(arguments.quiet))
    summary = build_summary(settings, result, root, time.monotonic() - started_s)
    if arguments.json:
        print_json(describe_summary(summary))
    else:
        print_summary(summary)
    return 0


def build_plan(given: Given, directory: str | None, *, anew: bool, talk: Talk) -> Plan:
    """Decide between a new run and an old one that goes on. **Raises** UsageError, DataError."""
    fresh = complete(apply_options(get_preset(given.preset or "default"), given))
    if directory is None:
        return Plan(fresh, None if anew else find_unfinished(fresh, talk))
    if not directory:
        raise UsageError("--dir must be a path, not ''.")
    root = expand_path(directory)
    check_run_place(root)
    validate_unused(root)
    if not is_run_directory(root):
        validate_room(root)
        return Plan(fresh, root)
    if anew:
        return Plan(fresh, root, aside=True)
    return Plan(go_on(root, given, talk), root)


def complete(settings: RunSettings) -> RunSettings:
    """Return the settings with the person's data directory, unless one was given."""
    if settings.data_directory is not None:
        return settings
    return dataclasses.replace(settings, data_directory=get_data_directory())


def go_on(root: Path, given: Given, talk: Talk) -> RunSettings:
    """Return the settings of a stored run with what was given. **Raises** UsageError when they contradict."""
    validate_no_simulation(root)
    stored = load_settings(root, load_genesis(root).params)
    conflict = find_conflict(stored, given)
    if conflict:
        flag, found, asked = conflict
        raise UsageError(
            f"The run in {root} has {flag} {found}, but {flag} {asked} is asked for; leave {flag} out to go on with "
            "it, choose another --dir, or start anew with --new."
        )
    settings, height = apply_options(stored, given), load_height(root)
    if height > settings.rounds:
        raise UsageError(
            f"The run in {root} has {show_count(height, 'block')} already, more than --rounds {settings.rounds}; "
            "blocks are never taken back, so leave --rounds out or ask for more."
        )
    if height:
        check_chain(root, talk)  # nothing is built on what is damaged
    if height == settings.rounds:
        talk.say(
            f"The run in {root} is finished at height {height}; extend it with --rounds {height + 10}, "
            "or start anew with --new."
        )
    else:
        talk.say(f"Going on at height {height} of {settings.rounds}.")
    return settings


def find_unfinished(fresh: RunSettings, talk: Talk) -> Path | None:
    """Return the newest run without ``--dir`` if it was started by the same command and is not finished."""
    runs = list_runs(fresh.task)
    if not runs:
        return None
    root = runs[-1][1]
    if not is_run_directory(root) or find_holder(root) is not None or load_height(root) >= fresh.rounds:
        return None
    try:
        is_other = load_settings(root, load_genesis(root).params) != fresh
    except DataError as error:
        talk.warn(f"{error} A new run begins.")
        return None
    if is_other:
        return None
    talk.say(f"Going on with the unfinished run in {root}; use --new to start another.")
    return root


def check_settings(settings: RunSettings) -> None:
    """Check all that needs no data, before anything is written. **Raises** UsageError."""
    validate_settings(settings)
    build_attacks(settings)
    set_device(settings.device)
    build_train_settings(get_task(settings.task).default_settings, settings.training)


@contextmanager
def prepare_directory(plan: Plan) -> Iterator[tuple[Path, Path | None]]:
    """Yield the run's directory and where the run that was there is now.

    If the new run cannot even begin, everything is as it was before.
    """
    existed = plan.root is not None and plan.root.exists()
    root = plan.root or claim_run(plan.settings.task)
    moved = move_aside(root) if plan.aside else None
    try:
        yield root, moved
    except UsageError:
        if not existed and is_run_directory(root) and not load_height(root):
            shutil.rmtree(root)  # the mistake was in what was asked for; nothing of it is worth keeping
        raise
    finally:
        if not is_run_directory(root):
            undo_directory(root, moved, existed=existed)


def undo_directory(root: Path, moved: Path | None, *, existed: bool) -> None:
    """Remove an empty directory that was made for a run, and put back the run that was moved aside."""
    if root.is_dir() and (moved or not existed) and not any(root.iterdir()):
        root.rmdir()
    if moved and not root.exists():
        moved.rename(root)


def describe_opening(settings: RunSettings, root: Path, moved: Path | None) -> str:
    """Return what is run and where it is kept."""
    aside = f" (the run that was there is now in {moved})" if moved else ""
    return (
        f"{settings.task}: {show_count(settings.trainers, 'trainer')}, {show_count(settings.validators, 'validator')}, "
        f"{show_count(settings.rounds, 'round')}, seed {settings.seed}, kept in {root}{aside}"
    )


def describe_stop(settings: RunSettings, root: Path) -> str:
    """Return where a run stopped and how it goes on."""
    if not is_run_directory(root):
        return "Stopped before the run began; nothing is kept."
    return f"Stopped at height {load_height(root)} of {settings.rounds}; go on with: flobc run --dir {root}"
