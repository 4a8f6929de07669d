"""What an examination finds, and that it names what mends it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from flobc.adapters.filesystem.keys import create_key_file
from flobc.cli.main import main
from flobc.composition.doctor import Finding, machine
from flobc.composition.doctor.machine import check_disk, check_keys, check_versions
from flobc.composition.doctor.servers import LAG, check_clock, check_kafka, check_memory, check_redis, compare_heads
from flobc.composition.local.ports import find_free_port
from flobc.errors import TransientError
from flobc.protocol.chain.block import Block
from flobc.protocol.encoding import encode
from tests.support.dialogue import Chain, build_genesis

SHORT, OTHER = Chain(salt="a"), Chain(salt="b")
for chain in (SHORT, OTHER):
    for _ in range(LAG + 2):
        chain.play_round()


def by_level(findings: Iterable[Finding]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"ok": [], "warning": [], "problem": []}
    for finding in findings:
        found[finding.level].append(finding.check)
    return found


def compare(*chains: list[Block]) -> list[Finding]:
    """The ledgers a, b, ... that hold these blocks."""
    stores = dict(zip("abcd", chains, strict=False))

    def get_block(name: str, height: int) -> Block | None:
        return stores[name][height - 1]

    return list(compare_heads({name: (blocks or [None])[-1] for name, blocks in stores.items()}, get_block))  # type: ignore[list-item]


def test_ledgers_of_one_chain_agree_however_far_each_is() -> None:
    blocks = SHORT.blocks
    assert by_level(compare(blocks, blocks[:-1], blocks)) == {"ok": ["heads"], "warning": [], "problem": []}
    assert by_level(compare([], [])) == {"ok": ["heads"], "warning": [], "problem": []}
    lagging = compare(blocks, blocks[: -LAG - 1])
    assert by_level(lagging) == {"ok": ["heads"], "warning": ["ledger b"], "problem": []}


def test_ledgers_that_disagree_are_a_problem_whichever_is_ahead() -> None:
    found = compare(SHORT.blocks, OTHER.blocks[:-1])
    assert by_level(found) == {"ok": [], "warning": [], "problem": ["heads"]}
    assert found[0].fix == "flobc ledger rebuild --help"


def test_a_ledger_that_goes_away_in_between_is_a_problem() -> None:
    def get_block(name: str, height: int) -> Block | None:
        if name == "b":
            raise TransientError("gone", 1)
        return SHORT.blocks[height - 1]

    heads = {"a": SHORT.blocks[-1], "b": SHORT.blocks[-1]}
    assert by_level(compare_heads(dict(heads), get_block)) == {"ok": [], "warning": [], "problem": ["ledger b"]}


def test_keys_are_examined_and_never_shown(tmp_path: Path) -> None:
    members = [create_key_file(make(tmp_path, f"validator-{index}")).public_key for index in range(3)]
    genesis = replace(build_genesis(), validators=tuple(sorted(members[:2])))
    create_key_file(make(tmp_path, "trainer-0"))
    damaged = make(tmp_path, "trainer-1")
    damaged.write_text("flobc-ed25519-seed:00\n")
    loose = tmp_path / "nodes" / "validator-0" / "key"
    os.chmod(loose, 0o640)
    found = list(check_keys(tmp_path, genesis))
    assert by_level(found)["problem"] == ["key of trainer-1", "key of validator-0", "key of validator-2"]
    assert [item.message for item in found if item.check == "keys"] == ["2 of 5 usable and private"]
    assert [item.fix for item in found if item.check == "key of validator-0"] == [f"chmod 600 {loose}"]


def make(root: Path, name: str) -> Path:
    path = root / "nodes" / name / "key"
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize(
    ("least", "most", "level"), [(1, 2, "ok"), (0, 1 << 62, "warning"), (1 << 62, 1 << 62, "problem")]
)
def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int, most: int, level: str) -> None:
    monkeypatch.setattr(machine, "TOO_LITTLE_BYTES", least)
    monkeypatch.setattr(machine, "LITTLE_BYTES", most)
    assert [item.level for item in check_disk(tmp_path)] == [level]


def test_clock_and_memory() -> None:
    assert check_clock("a clock", 0.5).level == "ok"
    for ahead_s in (3.0, -3.0):
        assert check_clock("a clock", ahead_s).level == "warning"
    assert check_memory(100, 0).level == "ok"
    assert check_memory(100, 1000).level == "ok"
    assert check_memory(900, 1000).fix == "redis-cli CONFIG SET maxmemory 2000"


def test_another_protocol_version_is_a_problem() -> None:
    assert by_level(check_versions(build_genesis()))["problem"] == []
    assert by_level(check_versions(replace(build_genesis(), version=99)))["problem"] == ["protocol"]


def test_servers_that_are_away_are_findings() -> None:
    address = f"127.0.0.1:{find_free_port()}"
    assert by_level(check_redis(address, None))["problem"] == ["Redis"]
    assert by_level(check_redis("redis://x:y:z", None))["problem"] == ["Redis"]


def test_kafka_that_is_away_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_away(settings: object) -> str:
        raise TransientError("Kafka does not answer", 1)

    monkeypatch.setattr("flobc.composition.doctor.servers.get_version", is_away)
    assert by_level(check_kafka("127.0.0.1:9", None)) == {"ok": [], "warning": [], "problem": ["Kafka"]}


def test_the_command_tells_by_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "chain"
    small = ["--task", "synthetic:examples=50", "--trainers", "1", "--validators", "1", "--quiet"]
    assert main(["genesis", "new", "--dir", str(root), *small]) == 0
    capsys.readouterr()
    assert main(["doctor", "--dir", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("ok       keys: 2 of 2") for line in lines)
    key = root / "nodes" / "trainer-0" / "key"
    os.chmod(key, 0o604)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert main(["doctor", "--dir", str(root), "--quiet"]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("problem")]
    assert line.endswith(f"Run: chmod 600 {key}")
    assert main(["doctor", "--dir", str(root), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == 1
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_invalid_nothing_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "genesis").write_bytes(encode(build_genesis()))
    for arguments, sentence in (
        ([], "needs something to look at"),
        (["--genesis", str(tmp_path)], "needs something to look at"),
        (["--dir", str(tmp_path)], "There is no run in"),
        (["--kafka", "x:1", "--genesis", str(tmp_path / "no")], "no usable genesis"),
    ):
        assert main(["doctor", *arguments]) == 2
        assert sentence in capsys.readouterr().err
