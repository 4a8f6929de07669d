"""Another number of validators on one machine: what ``flobc up`` started ends, and its successor goes on.

::

    DIR/succession/plan               what all validators approve, once and for ever
    DIR/succession/validator-N.key    a newcomer's key
    DIR/succession/approval-N         a validator's approval

Every step may be repeated: what is there is used again, so the same command goes on after a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flobc.adapters.filesystem import FileSeals
from flobc.adapters.filesystem.keys import create_key_file, load_key_file
from flobc.composition.archive import open_archive
from flobc.composition.automatic_succession import build_automatic_plan
from flobc.composition.local.plan import get_process, load_plan
from flobc.composition.local.succession import prepare_nodes
from flobc.composition.local.system import STOP_S, start_system, stop_system
from flobc.composition.run_directory import load_genesis
from flobc.composition.succession import approve_plan, assemble_successor, load_plan_file, save_message
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.protocol.messages import Approve
from flobc.protocol.params import Genesis, Plan, get_chain_id, get_quorum

FOLDER = "succession"

Say = Callable[[str], None]


def succeed_system(root: Path, out: Path, validators: int, say: Say) -> Genesis:
    """End the chain of the system in ``root`` and start its successor, with so many validators, in ``out``.

    Whoever can read all keys here approves for all validators: this is for a sandbox, where they are one person's.

    **Raises** UsageError when the number cannot be, another one was approved before, or too few can approve;
    TransientError when a ledger or Kafka does not answer.
    """
    parent, places = load_genesis(root), load_plan(root)
    if (out / "genesis").exists():
        raise UsageError(f"There is a genesis in {out} already; choose another --successor, or start it: flobc up.")
    _require_seals(root, parent)
    plan, keys = _take_plan(root, parent, validators, say)
    processes = [get_process(root, "validator", index) for index in range(len(places.validators))]
    say(f"Stopping {show_count(len(processes), 'validator')} ...")
    for process in processes:
        process.ask_to_end()
    for process in processes:
        process.stop(STOP_S)
    approvals = _collect_approvals(root, parent, plan, say)
    archive = open_archive(root)
    try:
        genesis = assemble_successor(archive, plan, approvals, out)
    finally:
        archive.close()
    missing = prepare_nodes(root, out, genesis, keys)
    if missing:
        raise UsageError(
            f"The keys of {show_count(len(missing), 'member')} are not in {root}, so they cannot be started in {out}."
        )
    start = 0 if genesis.parent is None else genesis.parent.header.height
    say(f"The successor goes on from block {start} with {show_count(len(genesis.validators), 'validator')}.")
    stop_system(root, say)
    start_system(out, len(places.ledgers), say, places.trainers_per_process, explorer=bool(places.explorer))
    return genesis


def _require_seals(root: Path, parent: Genesis) -> None:
    """Check, before any of them stops, that enough validators can approve: one that never sealed cannot (CHAIN-14)."""
    nodes = [root / "nodes" / f"validator-{index}" for index in range(len(parent.validators))]
    stores = {load_key_file(node / "key").public_key: FileSeals(node / "seals", lambda: None) for node in nodes}
    seals = [store.load(key) for key, store in stores.items()]
    ready = sum(seal is not None and seal.chain == get_chain_id(parent) for seal in seals)
    quorum = get_quorum(len(parent.validators))
    if ready < quorum:
        raise UsageError(
            f"{quorum} of the {len(nodes)} validators in {root} must approve a successor, and {ready} have sealed a "
            "block of this chain yet; wait for its next block."
        )


def _take_plan(root: Path, parent: Genesis, validators: int, say: Say) -> tuple[Plan, list[Path]]:
    """Return the plan and the newcomers' keys, made now unless they are there. Those with the highest numbers go."""
    folder = root / FOLDER
    nodes = [root / "nodes" / f"validator-{index}" / "key" for index in range(len(parent.validators))]
    newcomers = [folder / f"validator-{index}.key" for index in range(len(nodes), validators)]
    path = folder / "plan"
    if path.exists():
        plan = load_plan_file(path)
        if len(plan.validators) != validators:
            raise UsageError(
                f"A succession to {show_count(len(plan.validators), 'validator')} was begun in {root} and cannot "
                f"be taken back; give that number, and then {validators} for the successor."
            )
        return plan, newcomers
    folder.mkdir(exist_ok=True, mode=0o700)
    for key in newcomers:
        if not key.exists():
            create_key_file(key)
    plan = build_automatic_plan(parent, (load_key_file(key).public_key for key in (*nodes, *newcomers)[:validators]))
    save_message(path, plan)
    say(
        f"{show_count(len(plan.validators), 'validator')} in the place of {len(parent.validators)}: the plan is {path}."
    )
    return plan, newcomers


def _collect_approvals(root: Path, parent: Genesis, plan: Plan, say: Say) -> list[Approve]:
    """Let each validator approve; one that cannot says why, for a quorum of the others is enough."""
    found = []
    for index in range(len(parent.validators)):
        node = root / "nodes" / f"validator-{index}"
        try:
            approve = approve_plan(parent, plan, load_key_file(node / "key"), node, never_sealed=False)
        except UsageError as error:
            say(f"validator-{index} does not approve. {error}")
            continue
        save_message(root / FOLDER / f"approval-{index}", approve)
        height = 0 if approve.sealed is None else approve.sealed.height
        say(f"validator-{index} approves; its last seal is of block {height}")
        found.append(approve)
    return found
