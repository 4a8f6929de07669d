"""Counts beside a release what became of each of its updates: a line of JSON every few seconds, until it is ended.

Usage, in a pod with a ledger's image: python census.py GENESIS LEDGER KAFKA

It ends with an error when a block does not follow the one before, or decides what another one did (ROUND-12).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from flobc.adapters.grpc import LedgerClient
from flobc.adapters.kafka import KafkaSettings, KafkaTopic
from flobc.composition.scaling.census import BlockBook, UpdateCensus
from flobc.composition.services.parts import get_topic_names, load_genesis_file
from flobc.errors import FlobcError, TransientError, VerificationError
from flobc.protocol.chain.block import Block, compute_header_digest

REPORT_S = 3.0
CATCH_UP_S = 30.0
RETRY_S = 1.0


class Follower:
    """Takes in every block as ledgers tell it, and asks again while none answers."""

    def __init__(self, ledger: str, book: BlockBook) -> None:
        self._client = LedgerClient((ledger,), None)
        self._book = book
        self._head = b""
        self.failure: FlobcError | None = None
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while self.failure is None:
            try:
                for header in self._client.follow(self._book.height + 1):
                    block = self._client.get_block(header.height)
                    if block is not None:
                        self._take(block)
            except TransientError:
                time.sleep(RETRY_S)
            except FlobcError as error:
                self.failure = error

    def _take(self, block: Block) -> None:
        if block.height != self._book.height + 1 or (self._head and block.header.parent != self._head):
            raise VerificationError(block.height, "CHAIN-8", f"it does not follow block {self._book.height}")
        self._book.add(block)
        self._head = compute_header_digest(block.header)


def main(genesis: str, ledger: str, kafka: str) -> None:
    """Count until the process is ended."""
    chain = load_genesis_file(Path(genesis))
    book = BlockBook(chain)
    follower = Follower(ledger, book)
    topic = KafkaTopic(KafkaSettings(kafka, "census"), get_topic_names(chain)[1])
    with UpdateCensus(topic, lambda: book.height, from_start=True) as census:
        while True:
            time.sleep(REPORT_S)
            if follower.failure is not None:
                raise follower.failure
            try:
                census.catch_up(CATCH_UP_S)
            except TransientError:
                continue  # Kafka may be away for a while
            height, fates = book.height, census.count_fates(book)
            counts = {fate.value: number for fate, number in fates.items()}
            print(json.dumps({"height": height, "updates": sum(fates.values()), **counts}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
