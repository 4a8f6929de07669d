"""What every service that follows the chain counts of it."""

from __future__ import annotations

import time

from flobc.adapters.prometheus import Metrics
from flobc.protocol.chain.block import Block

SHOWN_DIGITS = 16
"""How many hexadecimal digits of a head's digest a log line shows: enough to tell two heads apart."""


class Progress:
    """Enters each certified block into the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last_s: float | None = None

    def on_block(self, block: Block) -> None:
        """Take note of the newest certified block."""
        now_s = time.monotonic()
        if self._last_s is not None:
            self._metrics.observe("flobc_round_seconds", now_s - self._last_s)
        self._last_s = now_s
        self._metrics.set("flobc_height", block.height)
        for decision in block.body.decisions:
            self._metrics.add("flobc_updates_decided_total", reason=decision.reason.name.lower())
