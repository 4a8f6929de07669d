"""Where a ledger's blocks, states and models can be had again. Nothing in a source is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import FileModels
from flobc.adapters.kafka import KafkaSettings, KafkaTopic
from flobc.composition.archive import open_archive
from flobc.composition.archive.genesis import require_usable
from flobc.composition.archive.topics import read_topic
from flobc.composition.local.plan import is_system_directory, load_plan
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.models import Fetch
from flobc.composition.services.parts import get_topic_names
from flobc.composition.verification.blocks import require_same
from flobc.errors import DataError, RemoteProtocolError, VerificationError
from flobc.ports.archive import ChainArchive
from flobc.ports.peers import LedgerPeer
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.params import Genesis


@dataclass(frozen=True)
class Recorded:
    """A block and the encoded core state that its header commits to."""

    block: Block
    state: bytes


class Source(Protocol):
    """A chain from its first block on."""

    @property
    def genesis(self) -> Genesis:
        """Block 0."""
        ...

    @property
    def progress(self) -> tuple[int, int]:
        """How much was read, and how much there is."""
        ...

    def read(self) -> Iterator[Recorded]:
        """Yield every block that the source had when it was opened, from height 1 on.

        **Raises** DataError, VerificationError or TransientError.
        """
        ...

    def get_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model, or None when the source has it not. **Shapes**: (D,)."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class LogSource:
    """Consensus records, folded anew: whatever they lead to is what every validator came to (CHAIN-10).

    ``total`` is how many records there are; ``stored`` gives the block that is kept beside the log for a height, to
    compare it with what the log leads to; ``height`` is how far the log must reach.
    """

    def __init__(
        self,
        genesis: Genesis,
        records: Iterator[bytes],
        fetch: Fetch,
        total: Callable[[], int] = lambda: 0,
        stored: Callable[[int], Block | None] = lambda _: None,
        height: int = 0,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.genesis = genesis
        self.get_model = fetch
        self.close = close
        self._records = records
        self._total = total
        self._stored = stored
        self._height = height
        self._read = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Records read, and records in all."""
        return self._read, max(self._read, self._total())

    def read(self) -> Iterator[Recorded]:
        """Yield each block that the records commit to."""
        state, closed_state = build_initial_state(self.genesis), b""
        for record in self._records:
            self._read += 1
            before = state
            try:
                state = apply_record(before, record)
            except RemoteProtocolError:
                continue
            has_block = state.height > before.height
            if has_block:
                stored = self._stored(state.height)
                if stored is not None:
                    require_same(state.head, stored)
                yield Recorded(state.head, closed_state)
            # the last seal of one round closes the next one when its votes are all there already
            if state.closed is not None and (before.closed is None or has_block):
                closed_state = encode(state.core)
        if state.height < self._height:
            raise DataError(
                f"The log leads to block {state.height} only, but blocks are kept up to {self._height}; rebuild from a "
                "source with the whole log, or from another ledger."
            )


class PeerSource:
    """Another ledger, which is believed in nothing: certificates and states are checked by whoever writes.

    Its height is taken when it is opened. **Raises** TransientError when it does not answer.
    """

    def __init__(self, genesis: Genesis, ledger: LedgerPeer) -> None:
        self.genesis = genesis
        self.get_model = ledger.get_model
        self.close = ledger.close
        self._ledger = ledger
        newest = ledger.get_head()
        self._height = 0 if newest is None else newest.height
        self._read = 0

    @property
    def progress(self) -> tuple[int, int]:
        """Blocks read, and blocks in all."""
        return self._read, self._height

    def read(self) -> Iterator[Recorded]:
        """Yield each block with the state that the ledger keeps for it."""
        for height in range(1, self._height + 1):
            block = self._ledger.get_block(height)
            if block is None:
                raise VerificationError(height, "CHAIN-8", "the ledger has later blocks, but not this one")
            state = self._ledger.get_state(block.header.state)
            if state is None:
                raise DataError(
                    f"The ledger has no state of block {height}; rebuild from another one, or from the log."
                )
            self._read = height
            yield Recorded(block, state)


def open_kafka_source(settings: KafkaSettings, genesis: Genesis, fetch: Fetch) -> LogSource:
    """Return the chain's log in Kafka up to its present end; models come from whoever ``fetch`` asks.

    **Raises** TransientError when Kafka does not answer or has no such log.
    """
    topic = KafkaTopic(settings, get_topic_names(genesis)[0])
    end = topic.ends().get(0, 0)
    return LogSource(genesis, read_topic(topic, end), fetch, lambda: end, close=lambda: topic.close(0))


def open_archive_source(path: Path) -> LogSource:
    """Return an export, a run's directory, or what ``flobc up`` keeps in one; of that only Kafka must run.

    **Raises** DataError when there is no chain there, TransientError when Kafka is asked and does not answer.
    """
    if path.is_dir() and is_system_directory(path):
        genesis = require_usable(load_genesis(path), str(path))
        folders = [path / "initial", *sorted((path / "nodes").glob("validator-*/models"))]
        settings = KafkaSettings(load_plan(path).kafka, "rebuild")
        return open_kafka_source(settings, genesis, lambda digest: find_model(folders, digest))
    archive = open_archive(path)
    count = count_records(archive)
    return LogSource(
        archive.genesis,
        archive.records(),
        archive.model,
        lambda: count,
        lambda height: archive.block(height) if height <= archive.height else None,
        archive.height,
        archive.close,
    )


def find_model(folders: list[Path], digest: bytes) -> NDArray[np.int32] | None:
    """Return a model from the first folder that holds it, or None: a validator that runs drops old ones."""
    for folder in folders:
        with suppress(FileNotFoundError):
            model = FileModels(folder).get(digest)
            if model is not None:
                return model
    return None


def count_records(archive: ChainArchive) -> int:
    """Return how many records an archive's log has. **Raises** DataError when it is damaged."""
    return sum(1 for _ in archive.records())
