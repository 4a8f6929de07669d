"""Policies whose trust is a share of one whole: ``none`` (control group) and ``flobc`` (the prototype's).

Shares always sum to exactly ``TRUST_ONE``: what rounding down leaves over goes, one unit each, to the
largest remainders.

**Source**: spec/TRUST.md, TRUST-4 to TRUST-9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flobc.protocol.bounds import PPM
from flobc.protocol.trust.params import TRUST_ONE
from flobc.protocol.trust.state import Scored, TrustEntry, TrustState, build_entries

_SHARE_PER_SCORE = TRUST_ONE // PPM


def start_uniform(trainers: Sequence[bytes]) -> TrustState:
    """Every genesis member with the same share."""
    entries = {trainer: TrustEntry(trust=0, probation=0, admitted_height=0) for trainer in trainers}
    return _with_shares(entries, compute_shares(dict.fromkeys(entries, 1), TRUST_ONE))


def admit_uniform(state: TrustState, trainer: bytes, height: int) -> TrustState:
    """Everybody holds the same share, the new trainer included."""
    entries = dict(state.entries)
    entries[trainer] = TrustEntry(trust=0, probation=0, admitted_height=height)
    return _with_shares(entries, compute_shares(dict.fromkeys(entries, 1), TRUST_ONE))


def admit_scaled(state: TrustState, trainer: bytes, height: int) -> TrustState:
    """The new trainer gets 1/N; the others keep their proportions and share the rest."""
    share = TRUST_ONE // (len(state.entries) + 1)
    others = {key: entry.trust for key, entry in state.entries.items()}
    shares = compute_shares(others, TRUST_ONE - share)
    entries = dict(state.entries)
    entries[trainer] = TrustEntry(trust=share, probation=0, admitted_height=height)
    return _with_shares(entries, {**shares, trainer: share})


def carry_shares(state: TrustState, trainers: Sequence[bytes]) -> TrustState:
    """These trainers, of those there are, in the proportions that they had; uniform if nothing is left."""
    shares = {key: state.entries[key].trust for key in trainers}
    if not any(shares.values()):
        shares = dict.fromkeys(shares, 1)
    entries = {key: TrustEntry(trust=0, probation=0, admitted_height=0) for key in trainers}
    return _with_shares(entries, compute_shares(shares, TRUST_ONE))


def credit_shares(state: TrustState, results: Sequence[Scored]) -> TrustState:
    """t_i <- max(t_i + score_i, 0) for every update in turn, then normalise; uniform if nothing is left."""
    shares = {key: entry.trust for key, entry in state.entries.items()}
    for result in results:
        shares[result.trainer] = max(shares[result.trainer] + result.score * _SHARE_PER_SCORE, 0)
    if not any(shares.values()):
        shares = dict.fromkeys(shares, 1)
    return _with_shares(state.entries, compute_shares(shares, TRUST_ONE))


def compute_shares(parts: Mapping[bytes, int], whole: int) -> dict[bytes, int]:
    """Integers proportional to ``parts`` that sum to exactly ``whole``; remainders tie by ascending key."""
    total = sum(parts.values())
    if total == 0:
        return dict.fromkeys(parts, 0)
    shares = {key: part * whole // total for key, part in parts.items()}
    by_remainder = sorted(parts, key=lambda key: (-(parts[key] * whole % total), key))
    for key in by_remainder[: whole - sum(shares.values())]:
        shares[key] += 1
    return shares


def _with_shares(entries: Mapping[bytes, TrustEntry], shares: Mapping[bytes, int]) -> TrustState:
    return TrustState(build_entries({key: replace(entries[key], trust=shares[key]) for key in entries}))
