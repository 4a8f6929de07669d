"""Three releases of three organisations, each with keys of its own, form one chain.

North is the host of the one Kafka; north and west have a ledger and a Redis of their own, south asks north's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flobc.adapters.grpc import LedgerClient
from flobc.cli.main import main
from flobc.composition.services.parts import load_genesis_file
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.params import get_chain_id
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.release import PATIENCE_S, Release

VALIDATORS = {"north": 2, "south": 1, "west": 1}
OPTIONS = ("--task", "digits", "--period", "5", "--epochs", "4")
TOTAL = sum(VALIDATORS.values())


def get_namespace(party: str) -> str:
    return f"flobc-{party}"


def get_address(party: str, role: str, port: int) -> str:
    return f"{party}-flobc-{role}.{get_namespace(party)}.svc:{port}"


def list_validators(party: str) -> list[int]:
    """The numbers of a party's validators among all of the chain's."""
    parties = list(VALIDATORS)
    first = sum(VALIDATORS[other] for other in parties[: parties.index(party)])
    return list(range(first, first + VALIDATORS[party]))


def make_chain(folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """What docs/organisations.md tells the parties to do; each one's keys stay in its own folder."""
    draft, chain = folder / "chain.json", folder / "chain"
    assert main(["genesis", "new", "--draft", str(draft), *OPTIONS, "--quiet"]) == 0
    for number, party in enumerate(VALIDATORS):
        (folder / party).mkdir()
        names = {"--trainer": [f"trainer-{number}"], "--validator": [f"validator-{i}" for i in list_validators(party)]}
        for flag, keys in names.items():
            for key in keys:
                capsys.readouterr()
                assert main(["keys", "new", str(folder / party / key), "--quiet"]) == 0
                public = capsys.readouterr().out.strip()
                assert main(["genesis", "add", str(draft), flag, public, "--quiet"]) == 0
    assert main(["genesis", "seal", str(draft), "--dir", str(chain), "--quiet"]) == 0
    return chain


def build_values(party: str) -> dict[str, Any]:
    number, own = list(VALIDATORS).index(party), list_validators(party)
    others = [other for other in VALIDATORS if other != party]
    peers = [
        f"{other}-flobc-validator-{index}.{get_address(other, 'validator', 7000)}"
        for other in others
        for index in list_validators(other)
    ]
    values: dict[str, Any] = {
        "genesis": {"create": False, "existingConfigMap": "shared-chain", "admission": "allowlist"},
        "trainers": {"replicas": 1, "firstIndex": number, "existingKeysSecret": "our-keys"},
        "validators": {"replicas": len(own), "firstIndex": own[0], "total": TOTAL, "peers": peers},
        "explorer": {"enabled": False},
        "networkPolicy": {
            "peers": [
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": get_namespace(other)}}}
                for other in others
            ]
        },
    }
    values["validators"]["existingKeysSecret"] = "our-keys"
    if party != "north":
        values["kafka"] = {"mode": "external", "external": {"address": get_address("north", "kafka", 9092)}}
    if party == "south":
        values |= {"ledgers": {"replicas": 0, "external": [get_address("north", "ledger", 7000)]}}
        values |= {"redis": {"mode": "external"}}
    return values


@pytest.fixture
def parties(cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[dict[str, Release]]:
    chain = make_chain(tmp_path, capsys)
    found = {party: Release(cluster, get_namespace(party), party) for party in VALIDATORS}
    try:
        for party, release in found.items():
            cluster.kubectl("create", "namespace", release.namespace)
            files = [f"--from-file={path}" for path in (chain / "genesis", chain / "initial")]
            release.kubectl("create", "configmap", "shared-chain", *files)
            release.kubectl("create", "secret", "generic", "our-keys", f"--from-file={tmp_path / party}")
            release.install(tmp_path, build_values(party))
        yield found
    finally:
        for release in found.values():
            cluster.kubectl("delete", "namespace", release.namespace, "--ignore-not-found", timeout_s=PATIENCE_S)


def read_blocks(release: Release, last: int) -> list[Block]:
    def ask(client: LedgerClient) -> list[Block]:
        blocks = (client.get_block(height) for height in range(1, last + 1))
        return [block for block in blocks if block is not None]

    found: list[Block] = release.ask(ask)
    return found


def test_three_organisations_form_one_chain(parties: dict[str, Release], tmp_path: Path) -> None:
    genesis = load_genesis_file(tmp_path / "chain" / "genesis")
    north, west = parties["north"], parties["west"]
    took_s = north.wait_until("the first block", lambda: north.read_height() >= 1)
    print(f"\n  three organisations installed, first block: {took_s:.1f} s", end="", flush=True)

    def is_everybody_in() -> bool:
        blocks = read_blocks(north, max(north.read_height(), 0))
        sealed = {seal.validator for block in blocks for seal in block.certificate}
        return sealed == set(genesis.validators) and any(
            {header.trainer for header in block.body.headers} == set(genesis.trainers) for block in blocks
        )

    north.wait_until("seals of every validator, and a block of all three trainers", is_everybody_in)
    height = north.read_height()
    west.wait_until(f"block {height} at west's ledger", lambda: west.read_height() >= height)
    heads = [compute_header_digest(read_blocks(release, height)[-1].header) for release in (north, west)]
    assert heads[0] == heads[1]
    assert {release.verify()["chain"] for release in (north, west)} == {get_chain_id(genesis).hex()}
    for party, release in parties.items():
        secret = release.cluster.read("secret/our-keys", "--namespace", release.namespace)["data"]
        assert len(secret) == VALIDATORS[party] + 1, "nobody else's keys"

    parties["south"].uninstall()
    print(f"\n  without south, {north.wait_for_blocks():.1f} s for 3 more blocks", end="", flush=True)
    assert north.verify()["chain"] == get_chain_id(genesis).hex()
