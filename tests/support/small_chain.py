"""A real chain of three blocks in a directory, made once, and the tools to damage or forge copies of it."""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flobc.adapters.filesystem import FileModels, FilePayloads, LogReader, frame_record
from flobc.adapters.filesystem.stores import get_block_path, read_block
from flobc.composition.genesis import derive_identity
from flobc.composition.run_directory import load_genesis
from flobc.composition.runner import run
from flobc.errors import RemoteProtocolError
from flobc.learning.task import Task
from flobc.learning.tasks.synthetic import SyntheticOptions, build_synthetic_task
from flobc.protocol.chain.block import Block, Header, compute_decisions_root, compute_header_digest
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Ready, Seal, encode_record, sign

ROUNDS, VALIDATORS, QUORUM = 3, 4, 3
PARAMETERS = 700
SEED = 5


def build_task() -> Task:
    """Trivial training on a vector of a few chunks: everything around learning is real."""
    return build_synthetic_task(SyntheticOptions(examples=200, parameters=PARAMETERS), "trivial")


def build_chain(root: Path, *, seed: int = SEED, rounds: int = ROUNDS) -> Path:
    run(
        task=build_task(),
        directory=root,
        rounds=rounds,
        trainers=3,
        validators=VALIDATORS,
        chunk_size=300,
        seed=seed,
        workers=1,
    )
    return root


def copy_chain(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def get_validators(seed: int = SEED) -> list[Identity]:
    identities = [derive_identity(seed, "validator", index) for index in range(VALIDATORS)]
    return sorted(identities, key=lambda identity: identity.public_key)


def load_block(root: Path, height: int) -> Block:
    block = read_block(root / "blocks", height)
    assert block is not None
    return block


def store_block(root: Path, height: int, block: Block) -> None:
    get_block_path(root / "blocks", height).write_bytes(encode(block))


def change_block(root: Path, height: int, change: Callable[[Block], Block]) -> None:
    store_block(root, height, change(load_block(root, height)))


def change_score(block: Block) -> Block:
    first, *others = block.body.decisions
    decisions = (dataclasses.replace(first, score=first.score + 1000), *others)
    return dataclasses.replace(block, body=dataclasses.replace(block.body, decisions=decisions))


def reseal(block: Block, header: Header, signers: list[Identity]) -> Block:
    """The block with another header that ``signers`` really sealed."""
    digest = compute_header_digest(header)
    seals = [sign(Seal(header.chain, key.public_key, header.height, digest), key) for key in signers]
    return dataclasses.replace(block, header=header, certificate=tuple(seals))


def rewrite_decision_with_all_keys(block: Block, **changes: Any) -> Block:
    """What a quorum of liars can do to a block, but not to a log that others hold."""
    first, *others = block.body.decisions
    decisions = (dataclasses.replace(first, **changes), *others)
    changed = dataclasses.replace(block, body=dataclasses.replace(block.body, decisions=decisions))
    header = dataclasses.replace(block.header, decisions_root=compute_decisions_root(decisions))
    return reseal(changed, header, get_validators()[:QUORUM])


def read_records(root: Path) -> list[bytes]:
    path = root / "log"
    with path.open("rb") as file:
        return list(LogReader(file, path.stat().st_size, path))


def write_records(root: Path, records: list[bytes]) -> None:
    (root / "log").write_bytes(b"".join(map(frame_record, records)))


def fold(root: Path, records: list[bytes]) -> Iterator[tuple[int, ChainState]]:
    """The state after each valid record, with the record's index."""
    state = build_initial_state(load_genesis(root))
    for index, record in enumerate(records):
        try:
            state = apply_record(state, record)
        except RemoteProtocolError:
            continue
        yield index, state


def find_commit(root: Path, height: int) -> int:
    """The index of the record that commits a height."""
    return next(index for index, state in fold(root, read_records(root)) if state.height == height)


def find_close(root: Path, height: int) -> int:
    """The index of the record that closes the round of a height."""
    return next(index for index, state in fold(root, read_records(root)) if state.core.height == height)


def commit_wrong_model(root: Path, height: int, model: bytes) -> None:
    """Let all validators lie alike about the last height's model, in log and block store."""
    records = read_records(root)[: find_close(root, height) + 1]
    *_, (_, state) = fold(root, records)
    assert state.closed is not None
    digest = compute_header_digest(state.closed.build_header(model))
    liars = get_validators()[:QUORUM]
    for key in liars:
        records.append(encode_record(sign(Ready(state.chain, key.public_key, height, digest, model), key)))
    for key in liars:
        records.append(encode_record(sign(Seal(state.chain, key.public_key, height, digest), key)))
    write_records(root, records)
    *_, (_, state) = fold(root, records)
    store_block(root, height, state.head)


def flip_byte(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def get_payload_path(root: Path, height: int, index: int = 0) -> Path:
    """The payload file of a used update of a block."""
    used = [decision.update for decision in load_block(root, height).accepted if decision.weight]
    return root / "payloads" / f"{used[index].hex()}.payload"


def get_model_path(root: Path, height: int) -> Path:
    digest = load_block(root, height).header.model if height else load_genesis(root).initial_model
    return root / "models" / f"{digest.hex()}.model"


def get_stores(root: Path) -> tuple[FilePayloads, FileModels]:
    return FilePayloads(root / "payloads"), FileModels(root / "models")
