"""A chain that strangers join and whose store is lost, on real servers."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flobc.adapters.filesystem.keys import create_key_file
from flobc.adapters.grpc import LedgerClient
from flobc.adapters.redis import RedisSettings, connect
from flobc.cli.main import main
from flobc.composition.local.process import DetachedProcess
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.recording import LedgerStores, build_stores, get_prefix
from flobc.protocol.chain.block import compute_header_digest
from tests.support.redis_server import redis_address  # noqa: F401  a fixture
from tests.support.system import LEDGERS, OPTIONS, TRAINERS, WholeSystem, whole_system

MAX_JOINS = 2
STOP_S = 15.0
TRAINER_NAMES = tuple(f"trainer-{index}" for index in range(TRAINERS))
LEDGER_NAMES = tuple(f"ledger-{index}" for index in range(LEDGERS))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    root = tmp_path_factory.mktemp("organisations") / "chain"
    operator = create_key_file(root.parent / "operator").public_key.hex()
    options = ["--admission", "invite", "--operator", operator, "--quiet"]
    assert main(["genesis", "new", "--dir", str(root), *OPTIONS, *options]) == 0
    with whole_system(root) as running:
        yield running


@pytest.fixture(scope="module")
def invitation(system: WholeSystem) -> Path:
    path = system.root.parent / "invitation"
    common = ["--genesis", str(system.root), "--key", str(system.root.parent / "operator"), "--out", str(path)]
    assert main(["invite", *common, "--max-joins", str(MAX_JOINS), "--until-height", "100000", "--quiet"]) == 0
    return path


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, object]]:
    """Carries a command out and returns the JSON that it prints."""

    def run(*arguments: str) -> dict[str, object]:
        capsys.readouterr()
        code = main([*arguments, "--json", "--quiet"])
        found = capsys.readouterr()
        assert code == 0, found.err
        printed: dict[str, object] = json.loads(found.out)
        return printed

    return run


@contextmanager
def stranger(system: WholeSystem, key: Path, invitation: Path) -> Iterator[DetachedProcess]:
    """A trainer's service that nobody planned for."""
    place = system.root.parent / "stranger"
    place.mkdir()
    settings = {
        "GENESIS": system.root / "genesis",
        "DATA": place,
        "KAFKA": system.plan.kafka,
        "KEY": key,
        "INDEX": 0,
        "SHARDS": TRAINERS,
        "LEDGERS": ",".join(system.plan.ledgers),
        "INVITATION": invitation,
    }
    process = DetachedProcess("the stranger", place / "pid", place / "log")
    environment = {f"FLOBC_{name}": str(value) for name, value in settings.items()} | {"OMP_NUM_THREADS": "1"}
    process.start([sys.executable, "-m", "services.trainer.main"], environment)
    try:
        yield process
    finally:
        process.stop(STOP_S)


def test_an_invited_trainer_joins_a_running_chain_and_its_update_is_accepted(
    system: WholeSystem, invitation: Path
) -> None:
    """CHAIN-9: the service asks by itself."""
    key = system.root.parent / "newcomer"
    newcomer = create_key_file(key).public_key
    ledger = LedgerClient(system.plan.ledgers)
    checked = system.read_height()

    def is_accepted() -> bool:
        nonlocal checked
        while (block := ledger.get_block(checked + 1)) is not None:
            checked += 1
            if any(decision.trainer == newcomer and decision.weight for decision in block.accepted):
                return True
        assert process.pid is not None, process.read_last_lines()
        return False

    with stranger(system, key, invitation) as process:
        try:
            system.wait_until("an accepted update of the newcomer", is_accepted)
        finally:
            ledger.close()


def test_a_trainer_joins_by_command_until_the_invitation_is_used_up(
    system: WholeSystem,
    invitation: Path,
    ask: Callable[..., dict[str, object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(MAX_JOINS):
        key = system.root.parent / f"asks-{number}"
        public = create_key_file(key).public_key.hex()
        command = ["join", "--genesis", str(system.root), "--invitation", str(invitation), "--key", str(key)]
        command += ["--kafka", system.plan.kafka, "--wait", "--ledger", ",".join(system.plan.ledgers)]
        if number < MAX_JOINS - 1:
            answer = ask(*command)
            assert (answer["trainer"], answer["joined"]) == (public, True)
        else:
            assert main([*command, "--quiet"]) == 2
            assert f"was for {MAX_JOINS} and is used up" in capsys.readouterr().err


def read_store(address: str, system: WholeSystem) -> LedgerStores:
    genesis = load_genesis(system.root)
    return build_stores(connect(RedisSettings.from_url(address, get_prefix(genesis))), genesis)


def require_head(stores: LedgerStores, height: int, head: bytes) -> None:
    block = stores.blocks.get(stores.blocks.height)
    assert block is not None
    assert (block.height, compute_header_digest(block.header)) == (height, head)
    assert stores.states.get(block.header.state) is not None
    assert stores.models.get(block.header.model) is not None


def test_a_wiped_store_is_rebuilt_to_the_identical_head_from_every_source(
    system: WholeSystem,
    redis_address: str,  # noqa: F811
    ask: Callable[..., dict[str, object]],
) -> None:
    """CHAIN-10: into another Redis while the chain's own one lives, then into its own one after it was wiped."""
    system.wait_for_blocks(2)
    with system.paused(*TRAINER_NAMES):
        (height, head), *_ = system.wait_for_agreement()
        export = system.root.parent / "chain.zip"
        assert main(["export", "chain", str(system.root), "--out", str(export), "--quiet"]) == 0
        genesis = ("--genesis", str(system.root / "genesis"))
        sources = (
            ("--kafka", system.plan.kafka, "--validators", ",".join(system.plan.validators), *genesis),
            ("--from", ",".join(system.plan.ledgers), *genesis),
            ("--from", str(export)),
            ("--from", str(system.root)),
        )
        for source in sources:
            answer = ask("ledger", "rebuild", *source, "--redis", redis_address, "--wipe")
            assert (answer["height"], answer["head"]) == (height, head.hex()), source
            assert (answer["written"], answer["found"]) == (height, 0)
            require_head(read_store(redis_address, system), height, head)
        answer = ask("ledger", "rebuild", *sources[0], "--redis", redis_address)
        assert (answer["written"], answer["found"]) == (0, height)

        with system.paused(*LEDGER_NAMES):
            with system.open_redis() as redis:
                redis.call("FLUSHALL")
            answer = ask("ledger", "rebuild", "--from", str(system.root), "--redis", system.plan.redis)
            assert (answer["written"], answer["head"]) == (height, head.hex())
            require_head(read_store(system.plan.redis, system), height, head)
        assert set(system.wait_for_agreement()) == {(height, head)}
    system.wait_for_blocks(2)
    system.check()


def test_doctor_finds_nothing_wrong_and_then_what_is(
    system: WholeSystem, ask: Callable[..., dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = ask("doctor", "--dir", str(system.root))
    assert found["problems"] == 0
    system.kill("validator-3")
    key = system.root / "nodes" / "validator-3" / "key"
    os.chmod(key, 0o644)
    capsys.readouterr()
    try:
        assert main(["doctor", "--dir", str(system.root)]) == 1
    finally:
        os.chmod(key, 0o600)
        system.restart()
    told = capsys.readouterr().out
    assert f"chmod 600 {key}" in told
    assert f"flobc up --dir {system.root}" in told
