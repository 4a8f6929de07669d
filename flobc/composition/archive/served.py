"""A chain with its log, as ledgers and Kafka hold it, wherever they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import FileModels
from flobc.adapters.grpc import TlsSettings
from flobc.adapters.kafka import KafkaSettings, KafkaTopic
from flobc.composition.archive.ledger import LedgerArchive
from flobc.composition.archive.topics import read_topic
from flobc.composition.services.parts import get_topic_names


class ServedArchive(LedgerArchive):
    """What ledgers serve, and the log up to the end that it has when it is read.

    ``models`` is a folder with models that no ledger may have, for the newest are with validators first.

    **Raises** TransientError when no ledger answers, DataError when what they call its genesis is none, UsageError
    when a TLS file cannot be read.
    """

    def __init__(
        self, addresses: Sequence[str], tls: TlsSettings | None, kafka: KafkaSettings, models: Path | None = None
    ) -> None:
        super().__init__(addresses, tls)
        self._kafka = kafka
        self._models = None if models is None else FileModels(models)

    def records(self) -> Iterator[bytes]:
        """Yield the log's records up to its present end. **Raises** TransientError, DataError."""
        topic = KafkaTopic(self._kafka, get_topic_names(self.genesis)[0])
        try:
            yield from read_topic(topic, topic.ends().get(0, 0))
        finally:
            topic.close(0)

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model that the ledgers hold, or the folder, or None. **Shapes**: (D,)."""
        found = super().model(digest)
        return found if found is not None or self._models is None else self._models.get(digest)
