"""Whether what the paper said holds here: figures of an experiment held against its claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flobc.composition.estimates import Estimate, estimate_mean
from flobc.composition.wording import show_count
from flobc.simulation.experiments.experiment import Claim
from flobc.simulation.experiments.figures import Found
from flobc.simulation.experiments.measures import MEASURES


@dataclass(frozen=True)
class Verdict:
    """A claim and what was found: ``met`` is None when nothing was measured that could tell."""

    claim: Claim
    met: bool | None
    words: str


def judge(claim: Claim, found: Found) -> Verdict:
    """Hold a claim against what was found."""
    if claim.highest is not None or claim.lowest is not None:
        return _judge_best(claim, found)
    return _judge_bound(claim, found)


def _judge_bound(claim: Claim, found: Found) -> Verdict:
    estimates = {name: _estimate(claim, found, name) for name in _list_places(claim, found)}
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    if not known:
        return Verdict(claim, None, "not measured yet")
    is_upper = claim.at_most is not None
    bound = claim.at_most if claim.at_most is not None else claim.at_least or 0.0
    name, worst = (max if is_upper else min)(known.items(), key=lambda item: item[1].mean)
    met = worst.mean <= bound if is_upper else worst.mean >= bound
    unit = _get_unit(claim)
    words = f"{worst}{unit}{f' at {name}, the worst of {len(known)}' if name else ''}; "
    words += f"wanted at {'most' if is_upper else 'least'} {bound:g}{unit}"
    broken = [
        f"{place} ({estimate})"
        for place, estimate in known.items()
        if place and not (estimate.mean <= bound if is_upper else estimate.mean >= bound)
    ]
    if len(broken) > 1:
        words += f"; missed at {', '.join(broken)}"
    if met and worst.half is not None:
        edge = worst.mean + worst.half if is_upper else worst.mean - worst.half
        whole = edge <= bound if is_upper else edge >= bound
        words += ", by the whole interval" if whole else ", by the mean, not by the whole interval"
    missing = len(estimates) - len(known)
    if missing:
        return Verdict(claim, None if met else False, f"{words}; {missing} of {len(estimates)} points are not measured")
    return Verdict(claim, met, words)


def _judge_best(claim: Claim, found: Found) -> Verdict:
    wanted = claim.highest if claim.highest is not None else claim.lowest
    estimates = {
        name: found.estimate(found.place({**dict(claim.of), str(claim.over): name}), claim.measure)
        for name in _list_places(claim, found)
    }
    known = {name: estimate for name, estimate in estimates.items() if estimate is not None}
    if wanted not in known:
        return Verdict(claim, None, "not measured yet")
    choose = max if claim.highest is not None else min
    best = choose(known, key=lambda name: known[name].mean)
    unit = MEASURES[claim.measure].unit
    words = f"{best} with {known[best]} {unit}"
    if best != wanted:
        gap = _pair(claim, found, best, str(wanted))
        apart = "no clear difference" if gap is None or _holds_zero(gap) else f"{gap} {unit} apart"
        words += f"; {wanted} has {known[wanted]} {unit}, {apart}"
    missing = (
        "" if len(known) == len(estimates) else f"; {show_count(len(estimates) - len(known), 'point')} not measured"
    )
    return Verdict(claim, best == wanted, words + missing)


def _holds_zero(gap: Estimate) -> bool:
    return gap.half is None or abs(gap.mean) <= gap.half


def _pair(claim: Claim, found: Found, one: str, other: str) -> Estimate | None:
    of = dict(claim.of)
    values = [found.get_values(found.place({**of, str(claim.over): name}), claim.measure) for name in (one, other)]
    return _subtract(*values)


def _list_places(claim: Claim, found: Found) -> list[str]:
    if claim.over is None:
        return [""]
    left_out = dict(claim.less or ()).get(claim.over)
    return [point.name for point in found.part.get_axis(claim.over).points if point.name != left_out]


def _estimate(claim: Claim, found: Found, name: str) -> Estimate | None:
    """Return the measure at a point of the axis ``over``, less the other where there is one, seed by seed."""
    over = {} if claim.over is None else {claim.over: name}
    values = found.get_values(found.place({**dict(claim.of), **over}), claim.measure)
    if claim.less is None:
        return estimate_mean(list(values.values())) if values else None
    return _subtract(values, found.get_values(found.place({**over, **dict(claim.less)}), claim.measure))


def _subtract(values: Mapping[int, float], others: Mapping[int, float]) -> Estimate | None:
    gaps = [value - others[seed] for seed, value in values.items() if seed in others]
    return estimate_mean(gaps) if gaps else None


def _get_unit(claim: Claim) -> str:
    unit = MEASURES[claim.measure].unit
    if claim.less is not None and unit == "%":
        return " points"
    return f" {unit}" if unit else ""
