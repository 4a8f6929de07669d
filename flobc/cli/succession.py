"""``flobc succession``: end a chain and begin its successor, step by step, with files."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from flobc.adapters.filesystem.keys import load_key_file
from flobc.cli import kinds
from flobc.cli.archives import choose_path, open_chain
from flobc.cli.options import apply_options
from flobc.cli.output import Talk, print_fields, print_json
from flobc.composition.local.succession import prepare_nodes
from flobc.composition.settings import RunSettings
from flobc.composition.succession import (
    Changes,
    approve_plan,
    assemble_successor,
    build_plan,
    load_approve_file,
    load_genesis_alone,
    load_plan_file,
    save_message,
)
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.protocol.encoding import compute_digest
from flobc.protocol.params import Genesis, Plan, get_chain_id, get_quorum


def execute_propose(arguments: Namespace) -> int:
    """Write a plan for a successor."""
    out, archive = read_path("--out", arguments.out), open_chain(arguments)
    parent = archive.genesis
    archive.close()
    params = apply_options(RunSettings(params=parent.params), arguments.given).params
    changes = Changes(
        add_validators=read_keys("--add-validator", arguments.add_validator),
        remove_validators=read_keys("--remove-validator", arguments.remove_validator),
        add_trainers=read_keys("--add-trainer", arguments.add_trainer),
        remove_trainers=read_keys("--remove-trainer", arguments.remove_trainer),
    )
    plan = build_plan(parent, changes, params)
    save_message(out, plan)
    print_data(arguments, describe_plan(parent, plan) | {"file": str(out)})
    Talk(arguments.quiet).say(
        f"{get_quorum(len(parent.validators))} of the {len(parent.validators)} validators must approve it: "
        f"flobc succession approve {out} --genesis FILE --data DIR --key FILE --out FILE"
    )
    return 0


def execute_approve(arguments: Namespace) -> int:
    """Show a plan, and with ``--yes`` approve it for one validator, for ever."""
    plan = load_plan_file(read_path("PLAN", arguments.plan))
    parent = load_genesis_alone(read_path("--genesis", arguments.genesis))
    out, data = read_path("--out", arguments.out), read_path("--data", arguments.data)
    identity = load_key_file(read_path("--key", arguments.key))
    if not arguments.yes:
        print_data(arguments, describe_plan(parent, plan))
        raise UsageError("Nothing is approved yet, for an approval is for ever; look at the plan and add --yes.")
    approve = approve_plan(parent, plan, identity, data, never_sealed=arguments.never_sealed)
    save_message(out, approve)
    height = 0 if approve.sealed is None else approve.sealed.height
    about: dict[str, object] = {"validator": approve.validator.hex(), "last_seal": height, "file": str(out)}
    print_data(arguments, describe_plan(parent, plan) | about)
    Talk(arguments.quiet).say("This validator seals no block of the old chain any more, and approves no other plan.")
    return 0


def execute_assemble(arguments: Namespace) -> int:
    """Write the successor's genesis and first model from a plan and enough approvals."""
    plan, out = load_plan_file(read_path("--plan", arguments.plan)), read_path("--out", arguments.out)
    approvals = [load_approve_file(read_path("--approval", given)) for given in arguments.approval]
    archive = open_chain(arguments)
    try:
        genesis = assemble_successor(archive, plan, approvals, out)
    finally:
        archive.close()
    if genesis.parent is None:
        raise UsageError("The genesis names no parent; assemble it anew.")
    keys = [read_path("--node-key", given) for given in arguments.node_key or ()]
    missing = prepare_nodes(choose_path(arguments), out, genesis, keys)
    about: dict[str, object] = {
        "successor": get_chain_id(genesis).hex(),
        "start": genesis.parent.header.height,
        "approvals": len(genesis.parent.approvals),
        "directory": str(out),
    }
    print_data(arguments, describe_plan(archive.genesis, plan) | about)
    if (out / "nodes").is_dir():
        Talk(arguments.quiet).say(f"Start the successor on this machine with: flobc up --dir {out}")
        return 0
    Talk(arguments.quiet).say(
        f"Start the successor's services with FLOBC_GENESIS={out / 'genesis'} FLOBC_INITIAL_MODEL={out / 'initial'}; "
        f"validators that stay keep their directories. For flobc up, the keys of "
        f"{show_count(len(missing), 'member')} are not here."
    )
    return 0


def describe_plan(parent: Genesis, plan: Plan) -> dict[str, object]:
    """Return what a plan changes, as JSON data."""
    added = [key.hex() for key in plan.validators if key not in parent.validators]
    gone = [key.hex() for key in parent.validators if key not in plan.validators]
    return {
        "plan": compute_digest(plan).hex(),
        "chain": plan.chain.hex(),
        "validators": len(plan.validators),
        "added_validators": added,
        "removed_validators": gone,
        "added_trainers": [key.hex() for key in plan.admitted],
        "removed_trainers": [key.hex() for key in plan.removed],
        "version": plan.version,
        "changed_params": list_changes("", dataclasses.asdict(parent.params), dataclasses.asdict(plan.params)),
    }


def list_changes(name: str, before: object, after: object) -> list[str]:
    """Return each param that differs as ``name: before -> after``."""
    if isinstance(before, dict) and isinstance(after, dict):
        inner = (list_changes(f"{name}.{key}".lstrip("."), before[key], after[key]) for key in before)
        return [change for changes in inner for change in changes]
    shown = [value.hex() if isinstance(value, bytes) else str(value) for value in (before, after)]
    return [] if before == after else [f"{name}: {shown[0]} -> {shown[1]}"]


def print_data(arguments: Namespace, data: dict[str, object]) -> None:
    """Print JSON, or a line per field."""
    if arguments.json:
        print_json(data)
        return
    shown = ((name, ", ".join(value) if isinstance(value, list) else value) for name, value in data.items())
    print_fields((name.replace("_", " "), value) for name, value in shown if value != "")


def read_path(flag: str, given: str) -> Path:
    """Return a path. **Raises** UsageError."""
    path: Path = kinds.path().read(flag, given)
    return path


def read_keys(flag: str, given: Sequence[str] | None) -> tuple[bytes, ...]:
    """Return public keys in hex. **Raises** UsageError."""
    return tuple(kinds.digest().read(flag, item) for item in given or ())
