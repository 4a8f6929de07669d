"""A running system as an archive: blocks and models from its ledgers, the rest from Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import FileModels, FilePayloads
from flobc.adapters.grpc import LedgerClient
from flobc.adapters.kafka import KafkaSettings, KafkaTopic
from flobc.composition.archive.genesis import require_usable
from flobc.composition.archive.topics import TopicPayloads, read_topic
from flobc.composition.local.plan import load_plan
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.parts import get_topic_names
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block
from flobc.protocol.params import Genesis


class SystemArchive:
    """What ``flobc up`` started, as it was when it was opened; its services may go on.

    The height is asked for before the log is measured, so the log seen here reaches at least as far.

    **Raises** DataError when no system was started there, TransientError when no ledger answers.
    """

    torn_bytes = 0

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self.genesis: Genesis = require_usable(load_genesis(root), self.name)
        plan = load_plan(root)
        self._kafka = plan.kafka
        self._ledger = LedgerClient(plan.ledgers)
        head = self._ledger.get_head()
        self.height = 0 if head is None else head.height
        self._payloads = [FilePayloads(path) for path in sorted((root / "nodes").glob("validator-*/payloads"))]
        self._models = [FileModels(path) for path in sorted((root / "nodes").glob("validator-*/models"))]
        self._topic_payloads = TopicPayloads(lambda: self._open_topic(1))

    def records(self) -> Iterator[bytes]:
        """Yield the log's records up to its present end."""
        topic = self._open_topic(0)
        try:
            yield from read_topic(topic, topic.ends().get(0, 0))
        finally:
            topic.close(0)

    def block(self, height: int) -> Block | None:
        """Return the block recorded for a height, or None."""
        return self._ledger.get_block(height)

    def payload(self, update: bytes) -> Payload | None:
        """Return an update's payload, or None: from a validator's directory if one holds it, else from Kafka."""
        found = next((found for store in self._payloads if (found := store.get(update)) is not None), None)
        return self._topic_payloads.get(update) if found is None else found

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model that the ledgers hold, or a validator's directory, or None. **Shapes**: (D,)."""
        found = self._ledger.get_model(digest)
        if found is not None:
            return found
        return next((found for store in self._models if (found := store.get(digest)) is not None), None)

    def state(self, digest: bytes) -> bytes | None:
        """Return a core state that the ledgers hold, or None."""
        return self._ledger.get_state(digest)

    def tests(self) -> dict[int, float]:
        """Return nothing: no service holds the test set."""
        return {}

    def close(self) -> None:
        """Let go of connections."""
        self._ledger.close()
        self._topic_payloads.close()

    def _open_topic(self, number: int) -> KafkaTopic:
        return KafkaTopic(KafkaSettings(self._kafka, "archive"), get_topic_names(self.genesis)[number])
