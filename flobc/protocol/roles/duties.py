"""Duties: what a node still owes. Data only; the runtime performs them and nothing remembers them.

A duty is derived afresh from state, so a restart neither loses nor doubles one: what the log
already holds is no longer owed.
"""

from __future__ import annotations

from dataclasses import dataclass

from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import ClosedRound
from flobc.protocol.messages import BaseReport, Evidence, Join, Ready, Seal, Timeout, UpdateHeader, VoteBatch


@dataclass(frozen=True)
class BaseEvaluation:
    """A certified model and what this validator found of it on its own shard."""

    model: bytes
    report: BaseReport


@dataclass(frozen=True)
class Train:
    """Train from the certified model of ``base_height``; ``k`` > 0 goes on from the own local model."""

    base_height: int
    model: bytes
    k: int


@dataclass(frozen=True)
class EvaluateBase:
    """Evaluate the certified model of ``height`` on the own shard."""

    height: int
    model: bytes


@dataclass(frozen=True)
class ScoreUpdate:
    """Check a complete payload and evaluate base + update on the own shard.

    ``norm_bound`` is in grid units, 0 for none; ``unit_loss`` in 1e-6 units.
    """

    update: bytes
    header: UpdateHeader
    base: BaseEvaluation
    norm_bound: int
    unit_loss: int


@dataclass(frozen=True)
class Aggregate:
    """Compute the model of a closed round."""

    closed: ClosedRound


@dataclass(frozen=True)
class RunTimer:
    """Let ``duration_ms`` pass for ``step`` of the open round, then call it expired."""

    height: int
    step: int
    duration_ms: int


@dataclass(frozen=True)
class Publish:
    """Sign and append this record to the log; a ``Seal`` is made durable first (ROUND-15)."""

    message: VoteBatch | Timeout | Ready | Seal | Evidence | Join


@dataclass(frozen=True)
class RecordBlock:
    """Append this certified block to the store."""

    block: Block


Duty = Train | EvaluateBase | ScoreUpdate | Aggregate | RunTimer | Publish | RecordBlock
