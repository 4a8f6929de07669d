"""A successor's members find their keys and seals where ``flobc up`` starts them."""

import dataclasses
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileSeals
from flobc.adapters.filesystem.keys import create_key_file, load_key_file
from flobc.composition.local.succession import prepare_nodes
from flobc.composition.local.system import create_system
from flobc.composition.run_directory import load_genesis, load_settings
from flobc.composition.settings import RunSettings
from flobc.errors import UsageError
from flobc.protocol.encoding import encode
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Seal, sign
from flobc.protocol.params import Genesis, get_chain_id


def build_successor(root: Path, newcomer: Identity, gone: Identity) -> Genesis:
    """What matters here of a successor: its members."""
    parent = load_genesis(root)
    kept = [key for key in parent.validators if key != gone.public_key]
    return dataclasses.replace(parent, validators=tuple(sorted((*kept, newcomer.public_key))))


def test_keys_and_seals_move_in_once_all_keys_are_there(tmp_path: Path) -> None:
    root, out = tmp_path / "old", tmp_path / "new"
    create_system(root, RunSettings(task="synthetic:parameters=50", trainers=2), 0)
    nodes = root / "nodes"
    stays, gone = (load_key_file(nodes / f"validator-{index}" / "key") for index in (2, 1))
    newcomer = create_key_file(tmp_path / "newcomer")
    seal = sign(Seal(get_chain_id(load_genesis(root)), stays.public_key, 1, bytes(32)), stays)
    FileSeals(nodes / "validator-2" / "seals", lambda: None).save(seal)
    genesis = build_successor(root, newcomer, gone)
    assert prepare_nodes(root, out, genesis, []) == (newcomer.public_key,)
    assert not out.exists()
    assert prepare_nodes(root, out, genesis, [tmp_path / "newcomer"]) == ()
    (out / "genesis").write_bytes(encode(genesis))
    for role, members in (("validator", genesis.validators), ("trainer", genesis.trainers)):
        paths = [out / "nodes" / f"{role}-{index}" / "key" for index in range(len(members))]
        assert sorted(load_key_file(path).public_key for path in paths) == list(members)
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
    assert FileSeals(out / "nodes" / "validator-1" / "seals", lambda: None).load(stays.public_key) == seal
    settings = load_settings(out, genesis.params)
    assert (settings.validators, settings.trainers, settings.task) == (4, 2, "synthetic:parameters=50")
    # Other approvals make another genesis, and a copy of the seals would not know of the first one (CHAIN-18).
    rival, elsewhere = dataclasses.replace(genesis, salt=bytes(32)), tmp_path / "rival"
    with pytest.raises(UsageError, match=get_chain_id(genesis).hex()[:12]):
        prepare_nodes(root, elsewhere, rival, [tmp_path / "newcomer"])
    assert not elsewhere.exists()
    assert prepare_nodes(root, out, genesis, [tmp_path / "newcomer"]) == ()
