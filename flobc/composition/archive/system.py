"""A running system as an archive: blocks and models from its ledgers, the rest from Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import FileModels, FilePayloads
from flobc.adapters.kafka import KafkaSettings, KafkaTopic
from flobc.composition.archive.ledger import LedgerArchive
from flobc.composition.archive.topics import TopicPayloads, read_topic
from flobc.composition.local.plan import load_plan
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.parts import get_topic_names
from flobc.ports.payloads import Payload


class SystemArchive(LedgerArchive):
    """What ``flobc up`` started, as it was when it was opened; its services may go on.

    The height is asked for before the log is measured, so the log seen here reaches at least as far.

    **Raises** DataError when no system was started there, TransientError when no ledger answers.
    """

    def __init__(self, root: Path) -> None:
        plan = load_plan(root)
        self._kafka = plan.kafka
        self._topic_payloads = TopicPayloads(lambda: self._open_topic(1))  # closed too when no ledger answers
        super().__init__(plan.ledgers, genesis=load_genesis(root))
        self.name = str(root)
        self._payloads = [FilePayloads(path) for path in sorted((root / "nodes").glob("validator-*/payloads"))]
        self._models = [FileModels(path) for path in sorted((root / "nodes").glob("validator-*/models"))]

    def records(self) -> Iterator[bytes]:
        """Yield the log's records up to its present end."""
        topic = self._open_topic(0)
        try:
            yield from read_topic(topic, topic.ends().get(0, 0))
        finally:
            topic.close(0)

    def payload(self, update: bytes) -> Payload | None:
        """Return an update's payload, or None: from a validator's directory if one holds it, else from Kafka."""
        found = next((found for store in self._payloads if (found := store.get(update)) is not None), None)
        return self._topic_payloads.get(update) if found is None else found

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model that the ledgers hold, or a validator's directory, or None. **Shapes**: (D,)."""
        found = super().model(digest)
        if found is not None:
            return found
        return next((found for store in self._models if (found := store.get(digest)) is not None), None)

    def close(self) -> None:
        """Let go of connections."""
        super().close()
        self._topic_payloads.close()

    def _open_topic(self, number: int) -> KafkaTopic:
        return KafkaTopic(KafkaSettings(self._kafka, "archive"), get_topic_names(self.genesis)[number])
