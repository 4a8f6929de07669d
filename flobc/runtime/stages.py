"""When a round passes which stage: lines of the log at DEBUG, for whoever wants to know where a round's time goes."""

from __future__ import annotations

import logging
from typing import Literal

Stage = Literal["signed", "published", "received", "voted", "closed", "aggregated", "certified"]

logger = logging.getLogger(__name__)


def mark(stage: Stage, height: int) -> None:
    """Note that this node has passed a stage of the round that makes block ``height``."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug(stage, extra={"height": height})
