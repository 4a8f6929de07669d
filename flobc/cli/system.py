"""``flobc up`` and ``flobc down``: a whole system on this machine."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from flobc.cli.options import apply_options, find_conflict
from flobc.cli.output import Talk, print_json
from flobc.cli.places import expand_path
from flobc.cli.run import check_settings, complete
from flobc.cli.web import is_web_installed
from flobc.composition.local.plan import is_system_directory, list_processes, load_plan
from flobc.composition.local.system import (
    create_system,
    start_system,
    stop_system,
)
from flobc.composition.presets import get_preset
from flobc.composition.run_directory import is_run_directory, load_genesis, load_settings, validate_room
from flobc.composition.wording import show_count
from flobc.errors import UsageError


def execute_up(arguments: Namespace) -> int:
    """Start a system, or what of it does not run, and return when all of it is ready."""
    root, talk = expand_path(arguments.dir), Talk(arguments.quiet)
    for flag, given in (("--ledgers", arguments.ledgers), ("--trainers-per-process", arguments.trainers_per_process)):
        if not given.isdigit() or int(given) < 1:
            raise UsageError(f"{flag} must be a whole number from 1, not {given!r}.")
    if is_run_directory(root):
        require_same(root, arguments)
    else:
        settings = complete(apply_options(get_preset(arguments.given.preset or "default"), arguments.given))
        check_settings(settings)
        if root.exists() and not (root / "nodes").exists():
            validate_room(root)
        create_system(root, settings, int(arguments.ledgers))
    has_explorer = not arguments.no_explorer and is_web_installed()
    together, traces = int(arguments.trainers_per_process), bool(arguments.traces)
    try:
        plan = start_system(root, int(arguments.ledgers), talk.say, together, has_explorer, traces)
    except KeyboardInterrupt:
        if is_system_directory(root):
            talk.say(
                "Interrupted; what was started runs on. Start the rest with the same command, or stop it all with: "
                f"flobc down --dir {root}"
            )
        raise
    if arguments.json:
        explorer = f"http://{plan.explorer}" if plan.explorer else None
        print_json({"directory": str(root), "processes": list_processes(root), "explorer": explorer})
    else:
        print(f"The system in {root} runs: Kafka {plan.kafka}, Redis {plan.redis}, ledger {plan.ledgers[0]}.")
        if plan.explorer:
            print(f"See it in a browser: http://{plan.explorer}")
        print(f"Look at it with: flobc status {root}   Stop it with: flobc down --dir {root}")
    return 0


def require_same(root: Path, arguments: Namespace) -> None:
    """Check that a stored system is the one that is asked for. **Raises** UsageError."""
    if not (root / "nodes").is_dir():
        raise UsageError(f"The directory {root} holds a run of one process; choose another --dir.")
    conflict = find_conflict(load_settings(root, load_genesis(root).params), arguments.given)
    if conflict:
        flag, found, asked = conflict
        raise UsageError(
            f"The system in {root} has {flag} {found}, but {flag} {asked} is asked for; leave {flag} out, "
            "or choose another --dir."
        )
    if not is_system_directory(root):
        return
    plan = load_plan(root)
    if arguments.ledgers not in ("1", str(len(plan.ledgers))):
        raise UsageError(f"The system in {root} has {show_count(len(plan.ledgers), 'ledger')}; leave --ledgers out.")
    if arguments.trainers_per_process not in ("1", str(plan.trainers_per_process)):
        raise UsageError(
            f"The system in {root} has {show_count(plan.trainers_per_process, 'trainer')} in a process; "
            "leave --trainers-per-process out."
        )


def execute_down(arguments: Namespace) -> int:
    """Stop a system; what it holds stays, and ``flobc up`` goes on with it."""
    root, talk = expand_path(arguments.dir), Talk(arguments.quiet)
    is_running = any(number is not None for number in list_processes(root).values())
    killed = stop_system(root, talk.say) if is_running else []
    if arguments.json:
        print_json({"directory": str(root), "killed": killed})
    elif not is_running:
        print(f"Nothing of the system in {root} runs, so nothing was stopped. Start it with: flobc up --dir {root}")
    elif killed:
        took_long = f"these took too long and were killed: {', '.join(killed)}"
        print(f"Stopped; {took_long}. Go on with: flobc up --dir {root}")
    else:
        print(f"Stopped. Go on with: flobc up --dir {root}")
    return 0
