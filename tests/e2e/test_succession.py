"""A chain ends, other validators go on from its model and its trust, and both chains verify."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.numpy_task import task as numpy_task
from flobc.adapters.filesystem import FileModels, FileSeals
from flobc.cli.main import main
from flobc.composition.archive import open_archive
from flobc.composition.embedded import EmbeddedRun
from flobc.composition.genesis import Federation, derive_identity
from flobc.composition.reports import SilentObserver
from flobc.composition.run_directory import save_beginning
from flobc.composition.runner import open_stores
from flobc.composition.succession import (
    Changes,
    approve_plan,
    assemble_successor,
    build_plan,
    load_genesis_alone,
)
from flobc.composition.verification import verify_chain
from flobc.composition.verification.succession import verify_succession
from flobc.errors import UsageError, VerificationError
from flobc.protocol.consensus.starts import find_starts
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.consensus.succession import build_approve, build_successor, validate_successor
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Seal, decode_record, sign
from flobc.protocol.params import Genesis, Plan, get_chain_id
from tests.support.crashes import Killed, KillSwitch
from tests.support.embedded import StoresArchive, World, build_settings

SETTINGS = build_settings("bsp", rounds=3)
NEW = tuple(derive_identity(99, "validator", index) for index in range(4))


def run_parent(root: Path, writes: int | None = None) -> World:
    """Some rounds in a directory; with ``writes`` the run is killed after so many."""
    world = World(SETTINGS)
    with open_stores(root, SETTINGS, world.federation) as stores:
        world.stores = KillSwitch(writes).guard(stores)
        try:
            world.run()
        except Killed:
            assert writes is not None
    return world


def build_changes(world: World) -> Changes:
    """The first validator goes on, all others are replaced."""
    goes = tuple(one.public_key for one in world.federation.validators[1:])
    return Changes(add_validators=tuple(one.public_key for one in NEW[1:]), remove_validators=goes)


def succeed(root: Path, out: Path, world: World, plan: Plan, approvers: tuple[int, ...] = (0, 1, 2, 3)) -> Genesis:
    parent = open_archive(root)
    approvals = [
        approve_plan(parent.genesis, plan, world.federation.validators[index], root, never_sealed=True)
        for index in approvers
    ]
    return assemble_successor(parent, plan, approvals, out)


def run_child(out: Path, world: World, genesis: Genesis, rounds: int) -> EmbeddedRun:
    """The successor in its own directory, with the parent's trainers and shards."""
    model = FileModels(out / "initial").get(genesis.initial_model)
    assert model is not None
    validators = (world.federation.validators[0], *NEW[1:])
    federation = Federation(
        numpy_task, world.federation.training, genesis, model, world.federation.trainers, validators
    )
    if not (out / "settings.json").exists():
        save_beginning(out, SETTINGS, genesis)
    settings = dataclasses.replace(SETTINGS, params=genesis.params)
    with open_stores(out, settings, federation) as stores:
        embedded = EmbeddedRun(settings, federation, world.shards, stores, SilentObserver())
        try:
            embedded.run(rounds)
        finally:
            embedded.close()
    return embedded


def test_other_validators_go_on_from_the_same_model_and_trust(tmp_path: Path) -> None:
    """CHAIN-15 to CHAIN-17, end to end."""
    root, out = tmp_path / "old", tmp_path / "new"
    world = run_parent(root)
    old = open_archive(root)
    genesis = succeed(root, out, world, build_plan(old.genesis, build_changes(world), SETTINGS.params))
    assert genesis == load_genesis_alone(out / "genesis")
    head = world.blocks[-1].header
    assert genesis.initial_model == head.model
    start = build_initial_state(genesis)
    state = run_child(out, world, genesis, 3).state
    assert state.height == 3
    for root_of in (root, out):
        assert verify_chain(open_archive(root_of), full=True).complete
    assert verify_succession(root, genesis)
    assert verify_succession(root / "genesis", genesis) is False
    assert start.core.trust.entries.keys() == state.core.trust.entries.keys()
    assert len({entry.trust for entry in start.core.trust.entries.values()}) > 1
    other = dataclasses.replace(genesis, salt=bytes(32))
    with pytest.raises(VerificationError, match="another salt"):
        verify_succession(root, other)


@pytest.mark.parametrize("writes", [30, 38, 41, 44, 48, 52])
def test_a_chain_that_stopped_anywhere_has_a_successor(tmp_path: Path, writes: int) -> None:
    """CHAIN-15: whatever was certified or sealed when the chain stopped is in the successor's past."""
    root, out = tmp_path / "old", tmp_path / "new"
    world = run_parent(root, writes)
    archive = open_archive(root)
    seals = [record for data in archive.records() if isinstance(record := decode_record(data), Seal)]
    stored = FileSeals(root / "seals", lambda: None)
    last = [seal for one in world.federation.validators if (seal := stored.load(one.public_key)) is not None]
    plan = build_plan(archive.genesis, build_changes(world), SETTINGS.params)
    genesis = succeed(root, out, world, plan)
    assert genesis.parent is not None
    assert genesis.parent.header.height >= max((seal.height for seal in (*seals, *last)), default=0)
    assert run_child(out, world, genesis, 1).state.height == 1


class LostLog(StoresArchive):
    """What ledgers hold when Kafka has lost everything: blocks, models and the newest states."""

    def __init__(self, world: World, states: dict[bytes, bytes]) -> None:
        super().__init__(world.federation.genesis, world.stores)
        self.states = states

    def records(self) -> Iterator[bytes]:
        return iter(())

    def state(self, digest: bytes) -> bytes | None:
        return self.states.get(digest)


def test_a_chain_whose_log_is_lost_has_a_successor(tmp_path: Path) -> None:
    """CHAIN-15: the certified head and its state are enough, for approvals need no log."""
    world = World(SETTINGS)
    world.run()
    parent = world.federation.genesis
    start = find_starts(parent, world.stores.log.read())[0]
    plan = build_plan(parent, build_changes(world), SETTINGS.params)
    approvals = []
    for one in world.federation.validators:
        sealed = world.stores.seals.load(one.public_key)
        approvals.append(sign(build_approve(plan, one.public_key, sealed), one))
    with pytest.raises(UsageError, match="seals up to block 3"):
        assemble_successor(LostLog(world, {}), plan, approvals, tmp_path / "new")
    states = {start.header.state: start.state}
    genesis = assemble_successor(LostLog(world, states), plan, approvals, tmp_path / "new")
    assert genesis.parent is not None
    assert genesis.parent.header == world.blocks[-1].header
    validate_successor(parent, genesis)


def test_who_approved_seals_no_more(tmp_path: Path) -> None:
    """CHAIN-14: started again, on the old chain, it works on and seals nothing; a quorum without it goes on."""
    root = tmp_path / "old"
    world = run_parent(root)
    genesis = open_archive(root).genesis
    plan = build_plan(genesis, build_changes(world), SETTINGS.params)
    retired = world.federation.validators[0]
    approve_plan(genesis, plan, retired, root, never_sealed=False)
    settings = dataclasses.replace(SETTINGS, rounds=5)
    with open_stores(root, settings, world.federation) as stores:
        world.stores = stores
        world.run(5)
    archive = open_archive(root)
    seals = [record for data in archive.records() if isinstance(record := decode_record(data), Seal)]
    assert max(seal.height for seal in seals) == 5
    assert max((seal.height for seal in seals if seal.validator == retired.public_key), default=0) <= 3
    # With its old approval and two new ones: the seals of the others lead to block 5.
    assert succeed(root, tmp_path / "new", world, plan).parent.header.height == 5  # type: ignore[union-attr]


def test_invalid_a_quorum_of_liars_left_a_block_behind(tmp_path: Path) -> None:
    """CHAIN-15: the genesis alone looks right, but whoever holds the parent's later block sees that it is not."""
    root = tmp_path / "old"
    world = run_parent(root)
    parent = world.federation.genesis
    plan = build_plan(parent, build_changes(world), SETTINGS.params)
    records = list(open_archive(root).records())
    lengths = range(len(records), 0, -1)
    start = next(one for length in lengths if (one := find_starts(parent, records[:length])[0]).header.height == 2)
    lies = [sign(build_approve(plan, one.public_key, None), one) for one in world.federation.validators]
    genesis = build_successor(parent, plan, [start], lies)
    validate_successor(parent, genesis)
    with pytest.raises(VerificationError, match="starts from block 2") as caught:
        verify_succession(root, genesis)
    assert (caught.value.height, caught.value.rule) == (3, "CHAIN-15")


def test_a_validator_serves_one_successor(tmp_path: Path) -> None:
    """CHAIN-18: one plan, two geneses by different approvals; who sealed on one does not begin on the other."""
    root = tmp_path / "old"
    world = run_parent(root)
    plan = build_plan(open_archive(root).genesis, build_changes(world), SETTINGS.params)
    first = succeed(root, tmp_path / "first", world, plan, (0, 1, 2))
    second = succeed(root, tmp_path / "second", world, plan, (1, 2, 3))
    assert get_chain_id(first) != get_chain_id(second)
    for name in ("first", "second"):
        (tmp_path / name / "seals").symlink_to(root / "seals")
    assert run_child(tmp_path / "first", world, first, 1).state.height == 1
    with pytest.raises(UsageError, match="neither chain"):
        run_child(tmp_path / "second", world, second, 1)
    with pytest.raises(UsageError, match="neither chain"):
        world.run(4)


# The same with the command line.


def write_key(path: Path, seed: int, role: str, index: int) -> Identity:
    """The key file of a sandbox's node."""
    secret = hashlib.sha256(f"flobc/1/sandbox/{seed}/{role}/{index}".encode()).hexdigest()
    path.write_text(f"flobc-ed25519-seed:{secret}\n")
    path.chmod(0o600)
    return derive_identity(seed, role, index)


@pytest.fixture
def run_directory(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "run"
    options = ["--task", "synthetic:parameters=50", "--trainers", "2", "--validators", "4", "--rounds", "2"]
    assert main(["run", "--dir", str(root), "--quiet", *options]) == 0
    return root


def test_succession_on_the_command_line(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, plan, out = run_directory, tmp_path / "plan", tmp_path / "new"
    added = write_key(tmp_path / "new-key", 1, "validator", 0).public_key.hex()
    gone = write_key(tmp_path / "key-0", 0, "validator", 0).public_key.hex()
    capsys.readouterr()
    command = ["succession", "propose", str(root), "--out", str(plan), "--json", "--quiet", "--period", "7"]
    assert main([*command, "--add-validator", added, "--remove-validator", gone]) == 0
    proposed = json.loads(capsys.readouterr().out)
    assert (proposed["added_validators"], proposed["removed_validators"]) == ([added], [gone])
    assert [change.partition(":")[0] for change in proposed["changed_params"]] == ["sync.period_ms"]
    approvals = []
    for index in range(1, 4):
        write_key(tmp_path / f"key-{index}", 0, "validator", index)
        approvals += ["--approval", str(tmp_path / f"approval-{index}")]
        assert main(build_approve_command(root, plan, tmp_path, index)) == 0
        assert main(build_approve_command(root, plan, tmp_path, index)) == 0  # harmless
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["last_seal"] in (0, 1, 2)
        command = ["succession", "assemble", str(root), "--plan", str(plan), "--out", str(out), *approvals]
        assert main([*command, "--json", "--quiet"]) == (0 if index == 3 else 2)
        if index < 3:
            assert "needs approvals of this plan by 3 of the 4" in capsys.readouterr().err
    made = json.loads(capsys.readouterr().out)
    genesis = load_genesis_alone(out / "genesis")
    assert made["successor"] == get_chain_id(genesis).hex()
    assert (made["start"], made["approvals"]) == (2, 3)
    assert genesis.params.sync.period_ms == 7000
    assert FileModels(out / "initial").get(genesis.initial_model) is not None
    assert main([*command, "--quiet"]) == 2
    assert "none is overwritten" in capsys.readouterr().err


def build_approve_command(root: Path, plan: Path, place: Path, index: int) -> list[str]:
    files = ["--genesis", str(root / "genesis"), "--data", str(root), "--key", str(place / f"key-{index}")]
    return [
        "succession",
        "approve",
        str(plan),
        *files,
        "--never-sealed",
        "--yes",
        "--out",
        str(place / f"approval-{index}"),
        "--json",
        "--quiet",
    ]


def test_invalid_approvals_are_refused_in_one_sentence(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CHAIN-14: not while the validator runs, not without its last seal, not for a second plan."""
    root, plan = run_directory, tmp_path / "plan"
    write_key(tmp_path / "key-0", 0, "validator", 0)
    write_key(tmp_path / "key-9", 0, "validator", 9)
    assert main(["succession", "propose", str(root), "--out", str(plan), "--quiet"]) == 0
    assert main(build_approve_command(root, plan, tmp_path, 9)) == 2
    assert "none of the chain's validators" in capsys.readouterr().err
    with (root / "lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert main(build_approve_command(root, plan, tmp_path, 0)) == 2
    assert "stop it and approve again" in capsys.readouterr().err
    empty = [*build_approve_command(root, plan, tmp_path, 0)]
    empty[empty.index("--data") + 1] = str(tmp_path / "elsewhere")
    empty.remove("--never-sealed")
    assert main(empty) == 2
    assert "--never-sealed" in capsys.readouterr().err
    assert not list((root / "seals").glob("*.approve"))
    assert main(build_approve_command(root, plan, tmp_path, 0)) == 0
    other = tmp_path / "other"
    assert main(["succession", "propose", str(root), "--out", str(other), "--quiet", "--period", "3"]) == 0
    assert main(build_approve_command(root, other, tmp_path, 0)) == 2
    assert "approves one for ever" in capsys.readouterr().err


def test_verify_says_whether_the_link_was_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CHAIN-16."""
    root, out = tmp_path / "old", tmp_path / "new"
    world = run_parent(root)
    genesis = succeed(root, out, world, build_plan(world.federation.genesis, build_changes(world), SETTINGS.params))
    run_child(out, world, genesis, 1)
    assert main(["verify", str(out), "--json"]) == 0
    seen = capsys.readouterr()
    assert json.loads(seen.out)["succession"] == "not checked"
    assert "--parent PATH" in seen.err
    assert main(["verify", "--full", str(out), "--parent", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["succession"] == "verified"
    assert main(["verify", str(root), "--parent", str(out)]) == 3
    assert "names no parent" in capsys.readouterr().err


def test_a_plan_is_shown_before_it_is_approved(
    run_directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An approval is for ever, so the rules that a proposer has changed must be seen first."""
    root, plan = run_directory, tmp_path / "plan"
    write_key(tmp_path / "key-0", 0, "validator", 0)
    assert main(["succession", "propose", str(root), "--period", "77", "--out", str(plan), "--quiet"]) == 0
    capsys.readouterr()
    command = [item for item in build_approve_command(root, plan, tmp_path, 0) if item != "--yes"]
    assert main(command) == 2
    shown = capsys.readouterr()
    (change,) = json.loads(shown.out)["changed_params"]
    assert change.endswith("-> 77000")
    assert "add --yes" in shown.err
    assert not (tmp_path / "approval-0").exists()
    assert not list(root.rglob("*.approve"))
