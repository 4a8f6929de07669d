"""From payloads to the next model: what every node and every verifier computes alike, without a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flobc.errors import LocalProtocolError, PayloadFault
from flobc.learning.layout import build_grid
from flobc.learning.model_digest import compute_model_digest
from flobc.numerics.codecs import decode_update
from flobc.numerics.rules import RuleSpec, apply_rule
from flobc.ports.payloads import Payload
from flobc.protocol.bounds import PPM
from flobc.protocol.chain.block import Body, Decision, Reason
from flobc.protocol.messages import Fault, UpdateHeader
from flobc.protocol.params import AggregationParams, Genesis

Model = NDArray[np.int32]


@dataclass(frozen=True)
class CheckedPayload:
    """An update's decoded grid values, or the fault that makes them worthless."""

    update: Model | None
    fault: Fault


def build_rule(params: AggregationParams, num_updates: int) -> RuleSpec:
    """Return the aggregation rule for a round with ``num_updates`` used updates."""
    byzantine = params.byzantine_ppm * num_updates // PPM
    return RuleSpec(params.rule, trim_ppm=params.trim_ppm, byzantine=byzantine, selected=params.selected)


def get_used(body: Body) -> list[tuple[Decision, UpdateHeader]]:
    """Return the decisions and headers of the updates that enter the model, in log order."""
    return [
        (decision, header)
        for decision, header in zip(body.decisions, body.headers, strict=True)
        if decision.reason is Reason.ACCEPTED and decision.weight > 0
    ]


class UpdateEngine:
    """Decodes and aggregates updates of one chain. Holds nothing but the genesis, so it is thread-safe."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.grid = build_grid(genesis.model)

    def check(self, payload: Payload) -> CheckedPayload:
        """Return the decoded payload or its objective fault (ROUND-8)."""
        params, spec = self.genesis.params, self.genesis.model
        try:
            decoded = decode_update(payload.chunks, self.grid, params.codec, spec.chunk_size)
        except PayloadFault as error:
            return CheckedPayload(None, Fault[error.code.upper()])
        if decoded.norm != payload.header.norm:
            return CheckedPayload(None, Fault.NORM_MISMATCH)
        return CheckedPayload(decoded.update, Fault.NONE)

    def aggregate(self, body: Body, parent: Model, check: Callable[[bytes, UpdateHeader], CheckedPayload]) -> Model:
        """Return the model that the updates of ``body`` make of ``parent`` (AGG).

        ``check`` gives an update's decoded payload by its id and header.

        **Shapes**: parent and result (D,).
        **Raises** LocalProtocolError when a payload that enters the model turns out faulty.
        """
        used = get_used(body)
        if not used:
            return parent
        updates = []
        for decision, header in used:
            checked = check(decision.update, header)
            if checked.update is None:
                raise LocalProtocolError("ROUND-8", "an accepted payload without fault", checked.fault.name)
            updates.append(checked.update)
        result = apply_rule(
            build_rule(self.genesis.params.aggregation, len(used)),
            parent,
            updates,
            weights=[decision.weight for decision, _ in used],
            discounts=[decision.discount for decision, _ in used],
            grid=self.grid,
            keys=[decision.update for decision, _ in used],
            norms=[header.norm for _, header in used],
        )
        return result.model

    def compute_digest(self, model: Model) -> bytes:
        """Return the digest by which headers name ``model``."""
        return compute_model_digest(model, self.genesis.model.chunk_size)
