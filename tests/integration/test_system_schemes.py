"""Ten rounds on real servers under each scheme: one head for everybody, verified, exported and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.cli.places import get_data_directory
from flobc.composition.archive import open_archive
from flobc.errors import FlobcError
from flobc.learning.task import DataSource
from flobc.learning.tasks import get_task
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import compute_header_digest
from tests.support.chain_replay import replay
from tests.support.system import WholeSystem, whole_system
from tests.support.system_logs import read_heads_by_height

ROUNDS = 10
LEDGERS = 2
MEMBERS = ("--trainers", "6", "--validators", "4", "--period", "5")
SHOWN_DIGITS = 16
LONG_S = 400.0


@pytest.mark.parametrize(
    "scheme", [pytest.param("bsp", marks=pytest.mark.soak), pytest.param("ssp", marks=pytest.mark.soak), "bap"]
)
def test_ten_rounds_of_digits_end_with_one_head(scheme: str, tmp_path: Path) -> None:
    """CHAIN-10, ROUND-15, ROUND-16: whoever reads the log has the same chain, as processes or in one."""
    run_rounds(tmp_path, ("--task", "digits", "--sync", scheme, *MEMBERS))


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
def test_ten_rounds_of_mnist_end_with_one_head(scheme: str, tmp_path: Path) -> None:
    try:
        get_task("mnist").load(DataSource(get_data_directory()))
    except FlobcError as error:
        pytest.skip(str(error))
    run_rounds(tmp_path, ("--task", "mnist", "--sync", scheme, *MEMBERS))


def run_rounds(place: Path, options: Sequence[str]) -> None:
    with whole_system(place / "chain", options, LEDGERS) as system:
        system.wait_for_height(ROUNDS, LONG_S)
        export = place / "chain.zip"
        with system.paused(*system.list_names("trainer")):
            system.wait_for_agreement()
            root = str(system.root)
            assert main(["export", "chain", root, "--out", str(export), "--quiet"]) == 0
            for archive in (root, str(export)):
                assert main(["verify", "--full", archive, "--quiet"]) == 0
        exported = open_archive(export)
        try:
            require_one_head(system, exported)
            require_replay(exported)
        finally:
            exported.close()  # type: ignore[attr-defined]


def require_one_head(system: WholeSystem, archive: ChainArchive) -> None:
    """Every node's own head is the exported one, at each height from the first to the last."""
    expected = {}
    for height in range(1, archive.height + 1):
        block = archive.block(height)
        assert block is not None
        expected[height] = compute_header_digest(block.header).hex()[:SHOWN_DIGITS]
    assert len(expected) >= ROUNDS
    for name in system.list_names("validator", "ledger"):
        log = system.get_process(name).log
        system.wait_until(f"{name} at the end", lambda log=log: archive.height in read_heads_by_height(log))
        heads = read_heads_by_height(log)
        assert {height: heads.get(height) for height in expected} == expected, name


def require_replay(archive: ChainArchive) -> None:
    """The code of a run in one process makes the same blocks and the same models of the same log and payloads."""
    blocks, models = replay(archive)
    for height in range(1, archive.height + 1):
        stored = archive.block(height)
        assert stored is not None
        assert models[height] == stored.header.model
        assert blocks[height - 1] == stored
