"""Coming into a chain that runs already (CHAIN-9): invitations as files, requests, and what becomes of them."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flobc.adapters.filesystem.keys import create_key_file
from flobc.adapters.memory import MemoryBlocks, MemoryLedgerPeer, MemoryModels, MemoryStates
from flobc.cli.main import main
from flobc.composition.organisations.invitations import (
    Invited,
    build_join,
    create_invitation,
    find_join,
    load_invitation,
)
from flobc.composition.organisations.joining import RESEND_S, read_certified_state, wait_for_admission
from flobc.composition.settings import RunSettings
from flobc.errors import DataError, TransientError, UsageError, VerificationError
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Join, encode_record, verify_message
from flobc.protocol.params import Genesis
from tests.support.dialogue import OPERATOR, Chain, build_genesis, build_params, identity
from tests.support.services import TASK, ServiceWorld, wait_until

NEWCOMER = identity("newcomer")
INVITE = build_genesis(params=build_params(mode="invite"))


def invite(path: Path, genesis: Genesis = INVITE, max_joins: int = 1, until: int = 100) -> Join:
    create_invitation(path, genesis, OPERATOR, max_joins, until)
    join = find_join(genesis, NEWCOMER, path)
    assert join is not None
    return join


def test_an_invitation_file_makes_a_join_that_the_chain_takes(tmp_path: Path) -> None:
    path = tmp_path / "invitation"
    join = invite(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "it holds a secret"
    assert verify_message(join)
    state = apply_record(build_initial_state(INVITE), encode_record(join))
    assert NEWCOMER.public_key in state.core.trainers


def test_a_member_needs_no_join_and_an_open_chain_no_invitation(tmp_path: Path) -> None:
    member = Identity.from_seed(bytes(32))
    genesis = replace(INVITE, trainers=tuple(sorted((*INVITE.trainers, member.public_key))))
    assert find_join(genesis, member, tmp_path / "no invitation") is None
    open_chain = build_genesis(params=build_params(mode="open"))
    join = find_join(open_chain, NEWCOMER, None)
    assert join is not None
    assert NEWCOMER.public_key in apply_record(build_initial_state(open_chain), encode_record(join)).core.trainers


def test_invalid_who_may_not_ask_is_told_why(tmp_path: Path) -> None:
    path = tmp_path / "invitation"
    invite(path)
    other = build_genesis(params=build_params(mode="invite"), salt="other")
    for genesis, who, file, sentence in (
        (build_genesis(), NEWCOMER, None, "admits those of its genesis alone"),
        (INVITE, NEWCOMER, None, "ask the operator for one"),
        (INVITE, NEWCOMER, tmp_path / "nothing", "There is no invitation"),
        (other, NEWCOMER, path, "is for chain"),
        (replace(INVITE, validators=(NEWCOMER.public_key,)), NEWCOMER, path, "is a validator of this chain"),
    ):
        with pytest.raises(UsageError, match=sentence):
            find_join(genesis, who, file)


@pytest.mark.parametrize("change", ["secret", "invitation", "format", "empty", "cut"])
def test_invalid_a_damaged_invitation_is_refused_and_never_quoted(tmp_path: Path, change: str) -> None:
    path = tmp_path / "invitation"
    invite(path)
    data = json.loads(path.read_text())
    secret = data["secret"]
    if change in data:
        data[change] = data[change][:-2] + ("00" if data[change][-2:] != "00" else "11")
        path.write_text(json.dumps(data))
    else:
        path.write_text("" if change == "empty" else path.read_text()[:-40])
    with pytest.raises(DataError, match="is no invitation or damaged") as caught:
        load_invitation(path, INVITE)
    assert secret[:16] not in str(caught.value)


def test_invalid_only_the_operator_of_a_chain_that_invites_does(tmp_path: Path) -> None:
    path = tmp_path / "invitation"
    with pytest.raises(UsageError, match="admission is 'allowlist'"):
        create_invitation(path, build_genesis(), OPERATOR, 1, 10)
    with pytest.raises(UsageError, match="The operator of this chain is"):
        create_invitation(path, INVITE, NEWCOMER, 1, 10)
    assert not path.exists()
    create_invitation(path, INVITE, OPERATOR, 1, 10)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="an invitation is never overwritten"):
        create_invitation(path, INVITE, OPERATOR, 1, 10)
    assert path.read_bytes() == before


def test_the_commands_write_and_check_invitations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    operator, trainer = tmp_path / "operator", tmp_path / "trainer"
    public = create_key_file(operator).public_key
    create_key_file(trainer)
    params = build_params(mode="invite")
    genesis = replace(INVITE, params=replace(params, admission=replace(params.admission, operator=public)))
    (tmp_path / "genesis").write_bytes(encode(genesis))
    common = ["--genesis", str(tmp_path), "--key", str(operator), "--out", str(tmp_path / "out")]
    assert main(["invite", *common, "--until-height", "9", "--max-joins", "3", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    invitation = load_invitation(tmp_path / "out", genesis).invitation
    assert (invitation.max_joins, invitation.expires_height) == (3, 9) == (made["max_joins"], made["until_height"])
    assert made["invite_key"] == invitation.invite_key.hex()
    for arguments, sentence in (
        (["invite", *common, "--until-height", "9"], "never overwritten"),
        (["invite", *common, "--until-height", "soon"], "--until-height must be a whole number"),
        (["invite", *common], "needs --until-height"),
        (["join", "--genesis", str(tmp_path), "--key", str(trainer), "--kafka", "x:1"], "ask the operator for one"),
        (["join", "--genesis", str(tmp_path), "--key", str(trainer), "--kafka", "x:1", "--wait"], "go together"),
    ):
        assert main(arguments) == 2
        assert sentence in capsys.readouterr().err


@dataclass
class Waiting:
    """A chain that moves while somebody waits for it, on a clock that moves by waiting."""

    chain: Chain
    now_s: float = 0.0
    admits_after_s: float = 12.0

    def __post_init__(self) -> None:
        self.blocks = MemoryBlocks(build_initial_state(self.chain.genesis).head_digest)
        self.states = MemoryStates()
        self.ledger = MemoryLedgerPeer(self.chain.genesis, self.blocks, self.states, MemoryModels())
        self.sent: list[float] = []

    def send(self) -> None:
        """A request that gets lost, but for the last one."""
        self.sent.append(self.now_s)

    def wait(self, delay_s: float) -> None:
        before_s, self.now_s = self.now_s, self.now_s + delay_s
        if before_s < self.admits_after_s <= self.now_s:
            self.chain.send(self.join)
        if int(before_s) < int(self.now_s):
            self.make_block()

    def make_block(self) -> None:
        self.chain.close_round()
        state = encode(self.chain.state.core)
        block = self.chain.commit()
        self.states.put(block.header.state, state)
        assert self.blocks.append(block)

    def ask(self, join: Join, timeout_s: float = 60) -> int:
        self.join = join
        return wait_for_admission(
            self.chain.genesis, self.ledger, join, self.send, timeout_s, self.wait, lambda: self.now_s
        )


def test_a_request_is_made_again_until_a_certified_state_has_the_trainer(tmp_path: Path) -> None:
    world = Waiting(Chain(params=build_params(mode="invite")))
    height = world.ask(invite(tmp_path / "invitation", world.chain.genesis))
    assert world.sent == [0.0, RESEND_S, 2 * RESEND_S]
    assert height == 12, "the round that was open when it was let in makes the first block that says so"
    assert NEWCOMER.public_key in read_certified_state(world.chain.genesis, world.ledger).core.trainers
    assert world.ask(world.join) == height
    assert len(world.sent) == 3, "who is in does not ask"


def test_invalid_an_invitation_that_can_help_nobody_is_told(tmp_path: Path) -> None:
    """CHAIN-9: expired, used up, or no room."""
    world = Waiting(Chain(params=build_params(mode="invite")), admits_after_s=1e9)
    with pytest.raises(UsageError, match="was good below height 3"):
        world.ask(invite(tmp_path / "expiring", world.chain.genesis, until=3))
    used = load_invitation_for(world, tmp_path / "used")
    world.chain.send(build_join(world.chain.genesis, identity("somebody"), used))
    world.make_block()
    with pytest.raises(UsageError, match="was for 1 and is used up"):
        world.ask(build_join(world.chain.genesis, NEWCOMER, used))
    with pytest.raises(TransientError, match="does not have the trainer yet"):
        world.ask(invite(tmp_path / "good", world.chain.genesis), timeout_s=3)
    full = Waiting(Chain(params=build_params(mode="invite", max_trainers=3)))
    with pytest.raises(UsageError, match="it has 3 trainers"):
        full.ask(invite(tmp_path / "full", full.chain.genesis))


def load_invitation_for(world: Waiting, path: Path) -> Invited:
    create_invitation(path, world.chain.genesis, OPERATOR, 1, 100)
    return load_invitation(path, world.chain.genesis)


def test_invalid_a_ledger_that_lies_is_not_believed() -> None:
    """CHAIN-6: a head without its certificate says nothing about who is in."""
    world = Waiting(Chain(params=build_params(mode="open")))
    world.make_block()
    block = world.blocks._blocks[0]
    world.blocks._blocks[0] = replace(block, certificate=block.certificate[:2])
    with pytest.raises(VerificationError, match="CHAIN-6"):
        read_certified_state(world.chain.genesis, world.ledger)
    other = build_genesis(params=build_params(mode="open"), salt="other")
    world.blocks._blocks[0] = block
    with pytest.raises(VerificationError, match="CHAIN-1"):
        read_certified_state(other, world.ledger)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceWorld]:
    params = build_params("bsp", period_ms=1_000, mode=request.param)
    params = replace(params, admission=replace(params.admission, operator=OPERATOR.public_key))
    made = ServiceWorld(RunSettings(task=TASK, trainers=2, validators=4, params=params, chunk_size=4, seed=3), tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("world", ["invite", "open"], indirect=True)
def test_a_trainer_service_joins_by_itself_and_its_work_counts(world: ServiceWorld, tmp_path: Path) -> None:
    """CHAIN-9: nobody but the trainer itself does anything."""
    path = tmp_path / "invitation"
    if world.genesis.params.admission.mode == "invite":
        create_invitation(path, world.genesis, OPERATOR, 1, 100)
    world.start()
    world.start_newcomer(NEWCOMER, find_join(world.genesis, NEWCOMER, path), shard=1)

    def counts() -> bool:
        world.require_no_error()
        accepted = (decision for block in world.get_blocks() for decision in block.accepted)
        return any(decision.trainer == NEWCOMER.public_key and decision.weight for decision in accepted)

    wait_until(counts, "an accepted update of the newcomer")
