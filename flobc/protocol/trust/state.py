"""What the chain remembers about its trainers' trust. Never mutated: every change makes a new state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrustEntry:
    """One trainer's trust.

    **Units**: ``trust`` in 1e-6 of the initial trust (``flobc_plus``) or 1e-9 of everybody's
    (``none``, ``flobc``); ``probation`` in used updates still to come, 0 = established.
    """

    trust: int
    probation: int
    admitted_height: int


@dataclass(frozen=True)
class Reference:
    """The lower median score of ``size`` updates on the base at ``base_height``."""

    base_height: int
    median: int
    size: int


@dataclass(frozen=True)
class TrustState:
    """Every admitted trainer's entry, in ascending order of keys, and the medians to hold new scores to."""

    entries: dict[bytes, TrustEntry] = field(default_factory=dict)
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Scored:
    """One decided update, as the closing of a round hands it to the policy.

    ``score`` is 1e6 times the relative improvement, within +-1,000,000; ``discount`` is the staleness
    discount in 2^-16. ``accepted`` says that the score passed the tolerance, ``used`` that the update
    entered the model; ``fault`` that validators agreed on an objective fault of a complete payload.
    """

    trainer: bytes
    base_height: int
    score: int
    discount: int
    fault: bool
    accepted: bool
    used: bool


def build_entries(entries: Mapping[bytes, TrustEntry]) -> dict[bytes, TrustEntry]:
    """The entries in ascending order of keys, so that equal states iterate equally."""
    return {trainer: entries[trainer] for trainer in sorted(entries)}
