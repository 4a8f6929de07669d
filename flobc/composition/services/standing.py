"""How learning and trust stand after a block: scores, shares of trust, and how few hold how much of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flobc.composition.services.names import OTHER, TrainerNames
from flobc.ports.metrics import Meter
from flobc.protocol.chain.block import Block, Reason
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import BaseReport
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.trust.policies import compute_trust_shares

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
TOPS = (1, 3, 10)
_OUTCOMES = {Reason.ACCEPTED: "accepted", Reason.LOW_SCORE: "rejected", Reason.FAULT: "rejected"}


class Standing:
    """Enters what each block says of learning and trust; only ``on_block`` with ``live`` counts the block's updates."""

    def __init__(self, meter: Meter, validators: dict[bytes, str]) -> None:
        self._meter = meter
        self._validators = validators
        self._trainers = TrainerNames()

    def on_reports(self, reports: dict[bytes, BaseReport]) -> None:
        """Take note of what validators find the newest model to be worth."""
        for key, report in reports.items():
            name = self._validators[key]
            if name != OTHER:
                self._meter.set("flobc_validator_loss", report.loss / SCORE_ONE, validator=name)
                self._meter.set("flobc_validator_accuracy_ratio", report.accuracy / SCORE_ONE, validator=name)

    def on_block(self, state: ChainState, *, live: bool) -> None:
        """Take note of the newest certified block and of trust after it."""
        header, decisions = state.head.header, state.head.body.decisions
        if header.loss is not None:
            self._meter.set("flobc_model_loss", header.loss / SCORE_ONE)
        if header.accuracy is not None:
            self._meter.set("flobc_model_accuracy_ratio", header.accuracy / SCORE_ONE)
        if decisions:
            scores = sorted(decision.score for decision in decisions)
            self._set_quantiles("flobc_score_ratio", [score / SCORE_ONE for score in scores])
        self._set_tops("flobc_weight_top_share_ratio", divide_whole(decision.weight for decision in decisions))
        self._set_trust(state)
        if live:
            self._count(state.head)

    def _set_trust(self, state: ChainState) -> None:
        by_trainer = compute_trust_shares(state.params.trust, state.core.trust)
        shares = sorted(by_trainer.values())
        if not shares:
            return
        self._set_quantiles("flobc_trust_share_ratio", shares)
        self._set_tops("flobc_trust_top_share_ratio", shares)
        self._meter.set("flobc_trust_gini_ratio", compute_gini(shares))
        for key, share in by_trainer.items():
            name = self._trainers.get(key)
            if name != OTHER:
                self._meter.set("flobc_trainer_trust_share_ratio", share, trainer=name)

    def _count(self, block: Block) -> None:
        for decision in block.body.decisions:
            outcome = _OUTCOMES.get(decision.reason, "unused")
            self._meter.add(
                "flobc_trainer_updates_total", trainer=self._trainers.get(decision.trainer), outcome=outcome
            )

    def _set_quantiles(self, name: str, ordered: Sequence[float]) -> None:
        for quantile in QUANTILES:
            self._meter.set(name, get_quantile(ordered, quantile), quantile=f"{quantile:g}")

    def _set_tops(self, name: str, shares: Sequence[float]) -> None:
        for top in TOPS:
            if shares:
                self._meter.set(name, sum(shares[-top:]), top=str(top))


def divide_whole(amounts: Iterable[int]) -> list[float]:
    """Return each amount's share of their sum in ascending order; empty when there is nothing to share."""
    ordered = sorted(amounts)
    whole = sum(ordered)
    return [amount / whole for amount in ordered] if whole > 0 else []


def get_quantile(ordered: Sequence[float], quantile: float) -> float:
    """Return the value at a quantile, the lower one of two, as the chain takes its medians."""
    return ordered[int(quantile * (len(ordered) - 1))]


def compute_gini(ordered: Sequence[float]) -> float:
    """Return the Gini coefficient of shares in ascending order: 0 when equal, towards 1 when one holds all."""
    count = len(ordered)
    weighted = sum(place * share for place, share in enumerate(ordered, 1))
    return max(0.0, (2 * weighted - (count + 1) * sum(ordered)) / (count * sum(ordered)))
