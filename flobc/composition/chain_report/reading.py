"""What a chain says of itself, read off its log and blocks: one row a block, and each trainer's trust after it."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.filesystem import read_regular
from flobc.composition.genesis import derive_identity
from flobc.composition.reports import describe_outcome, get_trust_shares
from flobc.composition.run_directory import is_run_directory, load_settings
from flobc.errors import DataError, RemoteProtocolError
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.identity import short_id
from flobc.protocol.params import SCORE_ONE, get_chain_id
from flobc.protocol.trust.weights import WEIGHT_ONE

SIMULATED = "results.json"
"""What a simulation writes beside its chain."""
_MAX_BYTES = 1 << 28
_S_MS = 1000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BlockRow:
    """One block. Accuracies and loss are shares and means as people read them, None where nobody measured.

    ``validators_accuracy`` is the validators' median for the model that the round started from. ``decided_s`` is how
    long after the round's opening its last decided update had its median vote, by the validators' own clocks;
    ``virtual_s`` when a simulation certified it.
    """

    height: int
    closing: str
    test_accuracy: float | None
    validators_accuracy: float | None
    validators_loss: float | None
    accepted: int
    rejected: dict[str, int]
    unused: int
    payload_bytes: int
    log_bytes: int
    decided_s: float | None
    virtual_s: float | None


@dataclass(frozen=True)
class TrainerRow:
    """One trainer: its trust after each block (None before it was there), and what became of its updates."""

    name: str
    key: str
    trust: tuple[float | None, ...]
    accepted: int
    rejected: int
    mean_weight: float


@dataclass(frozen=True)
class ChainStory:
    """Everything that the page tells."""

    chain: str
    head: str
    task: str
    validators: int
    scheme: str
    policy: str
    rule: str
    blocks: tuple[BlockRow, ...]
    trainers: tuple[TrainerRow, ...]


def read_story(archive: ChainArchive, path: Path, progress: Progress | None = None) -> ChainStory:
    """Fold a chain's log and return what it tells. ``progress`` is told blocks done and blocks in all.

    **Raises** DataError when the archive is damaged or its log ends before its blocks.
    """
    genesis = archive.genesis
    state = build_initial_state(genesis)
    tests, times = archive.tests(), _load_virtual_times(path)
    rows: list[BlockRow] = []
    trust: list[dict[bytes, float]] = []
    counts: dict[str, Counter[bytes]] = {name: Counter() for name in ("accepted", "rejected", "weight")}
    log_bytes = 0
    for record in archive.records():
        log_bytes += len(record)
        height, state = state.height, _advance(state, record)
        if state.height == height:
            continue
        block = state.head
        rows.append(_build_row(block, log_bytes, tests.get(block.height), times.get(block.height)))
        trust.append(get_trust_shares(state))
        _count(block, counts)
        log_bytes = 0
        if progress is not None:
            progress(block.height, archive.height)
    if state.height < archive.height:
        raise DataError(
            f"{archive.name} has {archive.height} blocks, but its log leads to {state.height} only; report on a copy "
            "with the whole log."
        )
    params = genesis.params
    return ChainStory(
        chain=get_chain_id(genesis).hex(),
        head=state.head_digest.hex(),
        task=genesis.task,
        validators=len(genesis.validators),
        scheme=params.sync.scheme,
        policy=params.trust.policy,
        rule=params.aggregation.rule,
        blocks=tuple(rows),
        trainers=_build_trainers(state, trust, counts, find_names(path, archive)),
    )


def find_names(path: Path, archive: ChainArchive) -> dict[bytes, str]:
    """Return the numbers of a sandbox's trainers, whose keys follow from its seed; nothing for real parties."""
    if not path.is_dir() or not is_run_directory(path):
        return {}
    settings = load_settings(path, archive.genesis.params)
    keys = (derive_identity(settings.seed, "trainer", index).public_key for index in range(settings.trainers))
    return {key: f"trainer {index}" for index, key in enumerate(keys)}


def _advance(state: ChainState, record: bytes) -> ChainState:
    try:
        return apply_record(state, record)
    except RemoteProtocolError:
        return state  # CHAIN-11: it changed nothing


def _load_virtual_times(path: Path) -> dict[int, float]:
    """Return when each block of a simulation was certified, in virtual seconds; nothing for a chain of another kind."""
    data = read_regular(path / SIMULATED, _MAX_BYTES) if path.is_dir() else None
    if data is None:
        return {}
    try:
        return {int(row["height"]): row["virtual_ms"] / _S_MS for row in json.loads(data)["rounds"]}
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path / SIMULATED} is damaged ({error}); remove it, or simulate anew.") from error


def _build_row(block: Block, log_bytes: int, test: float | None, virtual_s: float | None) -> BlockRow:
    header = block.header
    votes = [
        statistics.median_low(vote.elapsed_ms for vote in found.votes) for found in block.body.votes if found.votes
    ]
    return BlockRow(
        height=block.height,
        closing=header.closing.name.lower(),
        test_accuracy=test,
        validators_accuracy=None if header.accuracy is None else header.accuracy / SCORE_ONE,
        validators_loss=None if header.loss is None else header.loss / SCORE_ONE,
        accepted=len(block.accepted),
        rejected=dict(sorted(Counter(describe_outcome(decision) for decision in block.rejected).items())),
        unused=len(block.body.decisions) - len(block.accepted) - len(block.rejected),
        payload_bytes=sum(update.size_bytes for update in block.body.headers),
        log_bytes=log_bytes,
        decided_s=max(votes) / _S_MS if votes else None,
        virtual_s=virtual_s,
    )


def _count(block: Block, counts: dict[str, Counter[bytes]]) -> None:
    for decision in block.accepted:
        counts["accepted"][decision.trainer] += 1
        counts["weight"][decision.trainer] += decision.weight
    for decision in block.rejected:
        counts["rejected"][decision.trainer] += 1


def _build_trainers(
    state: ChainState, trust: list[dict[bytes, float]], counts: dict[str, Counter[bytes]], names: dict[bytes, str]
) -> tuple[TrainerRow, ...]:
    order = {key: place for place, key in enumerate(names)}
    keys = sorted(state.core.trainers, key=lambda key: (order.get(key, len(order)), key))
    return tuple(
        TrainerRow(
            name=names.get(key, short_id(key)),
            key=key.hex(),
            trust=tuple(shares.get(key) for shares in trust),
            accepted=counts["accepted"][key],
            rejected=counts["rejected"][key],
            mean_weight=counts["weight"][key] / WEIGHT_ONE / max(1, state.height),
        )
        for key in keys
    )
