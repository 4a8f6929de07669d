"""The default policy ``flobc_plus``: credit against what others achieved from the same base.

Scores shrink as the model converges and differ from base to base, so only the distance to the other
updates on the same base says something about the trainer.

**Source**: spec/TRUST.md, TRUST-10 to TRUST-19.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flobc.protocol.bounds import PPM
from flobc.protocol.median import compute_lower_median
from flobc.protocol.trust.params import INITIAL_TRUST, TrustParams
from flobc.protocol.trust.state import Reference, Scored, TrustEntry, TrustState, build_entries

# Two scores have no middle: their lower median is simply the worse one.
_COHORT = 3
_DISCOUNT_BITS = 16


def start_members(trainers: Sequence[bytes]) -> TrustState:
    """Every genesis member at the initial trust."""
    return TrustState(build_entries({trainer: TrustEntry(INITIAL_TRUST, 0, 0) for trainer in trainers}))


def admit_member(params: TrustParams, state: TrustState, trainer: bytes, height: int) -> TrustState:
    """A newcomer starts at the floor and on probation."""
    entry = TrustEntry(params.floor, params.probation_rounds, height)
    return TrustState(build_entries({**state.entries, trainer: entry}), state.references)


def carry_members(params: TrustParams, state: TrustState, trainers: Sequence[bytes], height: int) -> TrustState:
    """These trainers with the trust that they had at ``height``, which is height 0 from here on.

    The kept medians go along: bases before the start have negative heights, and leave the window as they would have.
    """
    entries = {}
    for trainer in trainers:
        entry = state.entries[trainer]
        trust = max(params.floor, min(params.cap, entry.trust))
        entries[trainer] = TrustEntry(trust, min(entry.probation, params.probation_rounds), 0)
    references = (Reference(item.base_height - height, item.median, item.size) for item in state.references)
    kept = tuple(item for item in references if item.base_height > -params.reference_window)
    return TrustState(build_entries(entries), kept)


def credit_members(params: TrustParams, state: TrustState, results: Sequence[Scored], height: int) -> TrustState:
    """Move everybody's trust by one round: decay for all, credit or penalty for those who took part."""
    counted = _select_counted(results)
    cohorts = _compute_cohorts(counted)
    entries = {}
    for trainer, entry in state.entries.items():
        result = counted.get(trainer)
        if result is None:
            entries[trainer] = _decay(params, entry)
        elif result.fault:
            entries[trainer] = _penalise(params, entry)
        else:
            credit = _compute_credit(params, state.references, cohorts, result)
            entries[trainer] = _reward(params, entry, credit, result.used)
    return TrustState(entries, _update_references(params, state.references, cohorts, height))


def limit_probation(params: TrustParams, state: TrustState, trainers: Sequence[bytes]) -> dict[bytes, int]:
    """Trust of the given trainers, with those on probation scaled down to their share of the sum.

    Nothing is scaled while nobody among them is established: then probation is all there is.
    """
    trust = {trainer: state.entries[trainer].trust for trainer in sorted(trainers)}
    on_probation = [trainer for trainer in trust if state.entries[trainer].probation]
    probation = sum(trust[trainer] for trainer in on_probation)
    established = sum(trust.values()) - probation
    # P <= share * (P + E) is P <= E * share / (1 - share).
    limit = established * params.probation_share_ppm // (PPM - params.probation_share_ppm)
    if established and probation > limit:
        for trainer in on_probation:
            trust[trainer] = trust[trainer] * limit // probation
    return trust


def _select_counted(results: Sequence[Scored]) -> dict[bytes, Scored]:
    """One result per trainer: a fault, else the used update, else the worst rejected one.

    An accepted update that was not used (superseded, or a copy of another's) counts for nothing.
    """
    counted: dict[bytes, Scored] = {}
    for result in sorted(results, key=_precedence):
        if result.fault or result.used or not result.accepted:
            counted.setdefault(result.trainer, result)
    return counted


def _precedence(result: Scored) -> tuple[bytes, bool, bool, int, int]:
    return (result.trainer, not result.fault, not result.used, result.score, result.base_height)


def _compute_cohorts(counted: Mapping[bytes, Scored]) -> dict[int, Reference]:
    """The lower median of this round's scores on each base, faults left out."""
    scores: dict[int, list[int]] = {}
    for result in counted.values():
        if not result.fault:
            scores.setdefault(result.base_height, []).append(result.score)
    return {base: Reference(base, compute_lower_median(scores[base]), len(scores[base])) for base in sorted(scores)}


def _compute_credit(
    params: TrustParams, references: Sequence[Reference], cohorts: Mapping[int, Reference], result: Scored
) -> int:
    reference = _get_reference(references, cohorts, result)
    distance = max(-params.credit_cap, min(params.credit_cap, result.score - reference))
    if not result.used:
        distance = min(distance, 0)
    return (distance * result.discount) >> _DISCOUNT_BITS


def _get_reference(references: Sequence[Reference], cohorts: Mapping[int, Reference], result: Scored) -> int:
    """What the score is held to: this round's cohort, else the base's kept one, else the running median."""
    cohort = cohorts[result.base_height]
    if cohort.size >= _COHORT:
        return cohort.median
    for reference in references:
        if reference.base_height == result.base_height and reference.size >= _COHORT:
            return reference.median
    # With nothing to be held to, nothing is gained or lost.
    return _running_median(references) if references else result.score


def _running_median(references: Sequence[Reference]) -> int:
    """The lower median of the kept medians, each counted as often as it has updates."""
    middle = (sum(reference.size for reference in references) - 1) // 2
    ordered = sorted(references, key=lambda reference: reference.median)
    for reference in ordered:
        if middle < reference.size:
            break
        middle -= reference.size
    return reference.median


def _update_references(
    params: TrustParams, references: Sequence[Reference], cohorts: Mapping[int, Reference], height: int
) -> tuple[Reference, ...]:
    """Keep one median per recent base, that of the largest cohort seen; on a tie the earlier one."""
    kept = {
        reference.base_height: reference
        for reference in references
        if reference.base_height > height - params.reference_window
    }
    for base_height, cohort in cohorts.items():
        known = kept.get(base_height)
        if base_height > height - params.reference_window and (known is None or known.size < cohort.size):
            kept[base_height] = cohort
    return tuple(kept[base_height] for base_height in sorted(kept))


def _decay(params: TrustParams, entry: TrustEntry) -> TrustEntry:
    return _move(params, entry, credit=0, probation=entry.probation)


def _penalise(params: TrustParams, entry: TrustEntry) -> TrustEntry:
    lost = (entry.trust - params.floor) * params.fault_penalty_ppm // PPM
    return TrustEntry(entry.trust - lost, params.probation_rounds, entry.admitted_height)


def _reward(params: TrustParams, entry: TrustEntry, credit: int, used: bool) -> TrustEntry:
    if not entry.probation:
        return _move(params, entry, credit, probation=0)
    probation = entry.probation - 1 if used else params.probation_rounds
    return _move(params, entry, credit, probation)


def _move(params: TrustParams, entry: TrustEntry, credit: int, probation: int) -> TrustEntry:
    step = (INITIAL_TRUST - entry.trust) * params.decay_ppm // PPM + credit * params.rate_ppm // PPM
    # On probation trust may fall but not rise: waiting, or one good update, buys nothing.
    ceiling = entry.trust if entry.probation else params.cap
    trust = max(params.floor, min(ceiling, entry.trust + step))
    return TrustEntry(trust, probation, entry.admitted_height)
