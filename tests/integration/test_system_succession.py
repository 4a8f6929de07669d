"""A whole system with a validator replaced: the old one's validators approve, ``flobc up`` starts the new one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flobc.adapters.filesystem.keys import load_key_file
from flobc.cli.main import main
from flobc.composition.run_directory import load_genesis
from flobc.protocol.consensus.state import build_initial_state
from tests.support.system import PATIENCE_S, VALIDATORS, WholeSystem, whole_system

MOVING_BLOCKS = 2


def approve_all(root: Path, plan: Path, place: Path) -> list[str]:
    """Every validator but the last approves; the options that name their approvals."""
    options = []
    for index in range(VALIDATORS - 1):
        node, out = root / "nodes" / f"validator-{index}", place / f"approval-{index}"
        where = ["--genesis", str(root / "genesis"), "--data", str(node), "--key", str(node / "key")]
        assert main(["succession", "approve", str(plan), *where, "--out", str(out), "--yes", "--quiet"]) == 0
        options += ["--approval", str(out)]
    return options


def test_a_replaced_validator_and_the_same_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CHAIN-14 to CHAIN-18 on real servers: stopped, approved, assembled, started, verified."""
    root, plan, out = tmp_path / "chain", tmp_path / "plan", tmp_path / "next"
    key = tmp_path / "newcomer"
    assert main(["keys", "new", str(key), "--quiet"]) == 0
    added = load_key_file(key).public_key.hex()
    with whole_system(root) as system:
        system.wait_for_blocks(MOVING_BLOCKS)
        gone = load_key_file(root / "nodes" / f"validator-{VALIDATORS - 1}" / "key").public_key.hex()
        change = ["--add-validator", added, "--remove-validator", gone]
        assert main(["succession", "propose", str(root), "--out", str(plan), *change, "--quiet"]) == 0
        node = root / "nodes" / "validator-0"
        where = ["--genesis", str(root / "genesis"), "--data", str(node), "--key", str(node / "key")]
        assert (
            main(["succession", "approve", str(plan), *where, "--out", str(tmp_path / "early"), "--yes", "--quiet"])
            == 2
        )
        assert "stop it and approve again" in capsys.readouterr().err
        for index in range(VALIDATORS):
            assert system.get_process(f"validator-{index}").stop(PATIENCE_S)
        approvals = approve_all(root, plan, tmp_path)
        command = ["succession", "assemble", str(root), "--plan", str(plan), *approvals, "--node-key", str(key)]
        assert main([*command, "--out", str(out), "--json", "--quiet"]) == 0
        start = json.loads(capsys.readouterr().out.splitlines()[-1])["start"]
        assert start >= MOVING_BLOCKS
        assert main(["verify", str(root), "--quiet"]) == 0
    genesis = load_genesis(out)
    old_trust = build_initial_state(genesis).core.trust
    assert len(old_trust.entries) == len(genesis.trainers)
    successor = WholeSystem(out)
    try:
        assert main(["up", "--dir", str(out), "--no-explorer", "--quiet"]) == 0
        successor.wait_for_blocks(MOVING_BLOCKS)
        assert main(["verify", "--full", str(out), "--parent", str(root / "genesis"), "--json"]) == 0
        found = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert (found["start"], found["succession"]) == (start, "verified")
    finally:
        successor.down()


def test_more_and_then_fewer_validators_by_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CHAIN-13 to CHAIN-18 by ``flobc scale``; every chain of the three verifies, and names its parent."""
    root, more, fewer = (tmp_path / name for name in ("chain", "more", "fewer"))
    try:
        with whole_system(root) as system:
            system.wait_for_blocks(MOVING_BLOCKS)
            where = ["--dir", str(root), "--successor", str(more)]
            assert main(["scale", "--validators", str(VALIDATORS + 1), *where]) == 0
            assert f"{VALIDATORS + 1} validators run" in capsys.readouterr().out
            assert main(["scale", "--validators", str(VALIDATORS + 1), *where]) == 2
            assert "There is a genesis in" in capsys.readouterr().err
        WholeSystem(more).wait_for_blocks(MOVING_BLOCKS)
        assert main(["scale", "--validators", str(VALIDATORS), "--dir", str(more), "--successor", str(fewer)]) == 0
        WholeSystem(fewer).wait_for_blocks(MOVING_BLOCKS)
        capsys.readouterr()
        for parent, child, count in ((root, more, VALIDATORS + 1), (more, fewer, VALIDATORS)):
            assert len(load_genesis(child).validators) == count
            assert set(load_genesis(child).trainers) == set(load_genesis(parent).trainers)
        assert main(["verify", "--full", str(fewer), "--parent", str(more / "genesis"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["succession"] == "verified"
        assert set(load_genesis(fewer).validators) == set(load_genesis(root).validators)
    finally:
        for each in (more, fewer):
            if (each / "system.json").exists():
                WholeSystem(each).down()
