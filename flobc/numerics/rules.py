"""Aggregation rules: from a model and weighted updates to the next model (AGG-20 to AGG-30)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from flobc.errors import LocalProtocolError
from flobc.numerics.aggregate import mean_of_rows
from flobc.numerics.centers import clip_to_center, find_geometric_median
from flobc.numerics.coherence import MINIMUM_KEPT, find_incoherent
from flobc.numerics.distances import Gram, inner_products, squared_distances
from flobc.numerics.fixed_point import Grid, norm
from flobc.numerics.kernels import Int32s
from flobc.numerics.order_statistics import median_of_rows, trimmed_mean_of_rows
from flobc.numerics.rows import WEIGHT_ONE, UpdateRows, Updates, tabulate

CLIPPED_MEAN = "norm_clipped_weighted_mean"
"""``rule_used`` where a rule had fewer updates than its minimum."""


@dataclass(frozen=True)
class RuleSpec:
    """A rule by name, with the parameters that some of them read.

    Raises:
        LocalProtocolError: at construction, for an unknown name or a parameter out of range.
    """

    name: str
    trim_ppm: int = 100_000
    """``trimmed_mean``: the share of the weights cut at either end, in millionths."""
    byzantine: int = 1
    """``krum``, ``multi_krum``: how many liars to expect (f)."""
    selected: int = 0
    """``multi_krum``: how many updates to average (m); 0 for all but ``byzantine``."""

    def __post_init__(self) -> None:
        if self.name not in RULE_NAMES:
            raise LocalProtocolError("AGG-20", f"a rule among {', '.join(RULE_NAMES)}", repr(self.name))
        if not 0 <= self.trim_ppm < 500_000:
            raise LocalProtocolError("AGG-22", "trim_ppm in [0, 500000)", str(self.trim_ppm))
        if self.byzantine < 0 or self.selected < 0:
            found = f"byzantine {self.byzantine}, selected {self.selected}"
            raise LocalProtocolError("AGG-24", "byzantine and selected of at least 0", found)


@dataclass(frozen=True)
class RuleResult:
    """The next model and how it came about."""

    model: Int32s
    rule_used: str
    selected: tuple[int, ...]
    """Positions of the updates that entered the result, ascending."""


def minimum_updates(rule: RuleSpec) -> int:
    """The fewest updates of positive weight that ``rule`` works with (AGG-26)."""
    match rule.name:
        case "weighted_mean" | "coherence_filter":
            return 0
        case "norm_clip":
            return 1
        case "median" | "geometric_median" | "centered_clipping":
            return 3
        case "trimmed_mean":
            # So many that, at equal weights, a whole update is cut at either end.
            return max(3, -(-1_000_000 // rule.trim_ppm)) if rule.trim_ppm else 1
        case "krum":
            return 2 * rule.byzantine + 3
        case _:
            return max(2 * rule.byzantine + 3, rule.byzantine + rule.selected)


@dataclass(frozen=True)
class _Round:
    """What ``apply_rule`` was given, and the rows it makes of it."""

    rule: RuleSpec
    model: Int32s
    updates: Updates
    weights: Sequence[int]
    discounts: Sequence[int]
    keys: Sequence[bytes] | None
    norms: Sequence[int] | None
    grid: Grid
    rows: UpdateRows

    @property
    def positions(self) -> tuple[int, ...]:
        return tuple(sorted(self.rows.positions))

    def finish(self, model: Int32s) -> RuleResult:
        return RuleResult(model, self.rule.name, self.positions)


def apply_rule(
    rule: RuleSpec,
    model: Int32s,
    updates: Updates,
    *,
    weights: Sequence[int],
    discounts: Sequence[int],
    grid: Grid,
    keys: Sequence[bytes] | None = None,
    norms: Sequence[int] | None = None,
) -> RuleResult:
    """``model`` (int32[D]) after ``rule`` on ``updates`` (n x int32[D], |q| < 2^30).

    The result depends on neither the order of the updates nor the number of threads. ``keys`` are
    the updates' digests, which break ties, least first; without them the position does. ``norms``
    (``norm`` of each update before its discount) are computed where they are needed and not given.
    Extra memory beyond the result: at most 24 KiB for each update and thread.

    **Units**: weights in 2^-20 with sum at most 2^20, those of weight 0 take no part; discounts in 2^-16.

    Raises:
        LocalProtocolError: an array, a weight or a discount is not what it should be.
    """
    for name, given in (("keys", keys), ("norms", norms)):
        if given is not None and len(given) != len(updates):
            raise LocalProtocolError("AGG-24", f"{len(updates)} {name}", str(len(given)))
    rows = tabulate(updates, weights, discounts, grid.size)
    closed = _Round(rule, model, updates, weights, discounts, keys, norms, grid, rows)
    if len(rows.positions) < minimum_updates(rule):
        return _apply_fallback(closed)
    return _RULES[rule.name](closed)


def clip_discounts(discounts: Sequence[int], norms: Sequence[int], bound: int) -> tuple[int, ...]:
    """``discounts`` lowered so that no discounted norm exceeds ``bound`` (AGG-25).

    **Units**: ``norms`` in grid units before the discount; ``bound`` in 2^-16 grid units, like
    ``norm * discount``.
    """
    return tuple(
        discount if length * discount <= bound else bound // length
        for discount, length in zip(discounts, norms, strict=True)
    )


def _apply_fallback(closed: _Round) -> RuleResult:
    return replace(_apply_norm_clip(closed), rule_used=CLIPPED_MEAN)


def _apply_norm_clip(closed: _Round) -> RuleResult:
    positions = closed.positions
    norms = [closed.norms[at] if closed.norms else norm(closed.updates[at]) for at in positions]
    discounts = [closed.discounts[at] for at in positions]
    lengths = sorted(length * discount for length, discount in zip(norms, discounts, strict=True))
    median = lengths[(len(lengths) - 1) // 2] if lengths else 0
    clipped = list(closed.discounts)
    for at, discount in zip(positions, clip_discounts(discounts, norms, median), strict=True):
        clipped[at] = discount
    rows = tabulate(closed.updates, closed.weights, clipped, closed.grid.size)
    return closed.finish(mean_of_rows(closed.model, rows, closed.grid))


def _apply_mean(closed: _Round) -> RuleResult:
    return closed.finish(mean_of_rows(closed.model, closed.rows, closed.grid))


def _apply_median(closed: _Round) -> RuleResult:
    return closed.finish(median_of_rows(closed.model, closed.rows, closed.grid))


def _apply_trimmed_mean(closed: _Round) -> RuleResult:
    trim_ppm = closed.rule.trim_ppm
    return closed.finish(trimmed_mean_of_rows(closed.model, closed.rows, closed.grid, trim_ppm))


def _apply_krum(closed: _Round) -> RuleResult:
    wanted = 1
    if closed.rule.name == "multi_krum":
        wanted = closed.rule.selected or len(closed.rows.positions) - closed.rule.byzantine
    return _average_selected(closed, _order_by_krum(closed)[:wanted])


def _apply_coherence(closed: _Round) -> RuleResult:
    positions = closed.rows.positions
    if len(positions) < MINIMUM_KEPT:
        return _apply_mean(closed)
    keys = [closed.keys[at] if closed.keys else b"" for at in positions]
    products = inner_products(closed.rows, closed.grid.size)
    kept = find_incoherent(products, [closed.weights[at] for at in positions], keys)
    return _average_selected(closed, [positions[row] for row in kept])


def _average_selected(closed: _Round, selected: Sequence[int]) -> RuleResult:
    weights = [0] * len(closed.weights)
    # The selected share the mass of all, else choosing few of many would shrink the step.
    selected_mass = sum(closed.weights[at] for at in selected)
    for at in selected:
        weights[at] = closed.weights[at] * closed.rows.mass // selected_mass
    rows = tabulate(closed.updates, weights, closed.discounts, closed.grid.size)
    return RuleResult(mean_of_rows(closed.model, rows, closed.grid), closed.rule.name, tuple(sorted(selected)))


def _order_by_krum(closed: _Round) -> list[int]:
    """Positions by score, then greater weight, then key (AGG-24)."""
    positions = closed.rows.positions
    neighbours = len(positions) - closed.rule.byzantine - 2
    distances = squared_distances(closed.rows, closed.grid.size)

    def order(row: int) -> tuple[int, int, bytes, int]:
        at = positions[row]
        others = sorted(distances[row][:row] + distances[row][row + 1 :])
        key = closed.keys[at] if closed.keys else b""
        return sum(others[:neighbours]), -closed.weights[at], key, at

    return [positions[row] for row in sorted(range(len(positions)), key=order)]


def _apply_center(find: Callable[[Gram, Sequence[int]], list[int]], closed: _Round) -> RuleResult:
    """The center's shares of all updates' mass, so that a thin round makes a small step (AGG-27, AGG-28)."""
    rows = closed.rows
    weights = [0] * len(closed.weights)
    shares = find(inner_products(rows, closed.grid.size).get_exact(), [closed.weights[at] for at in rows.positions])
    for at, share in zip(rows.positions, shares, strict=True):
        weights[at] = share * rows.mass // WEIGHT_ONE
    tabulated = tabulate(closed.updates, weights, closed.discounts, closed.grid.size)
    return closed.finish(mean_of_rows(closed.model, tabulated, closed.grid))


_RULES: dict[str, Callable[[_Round], RuleResult]] = {
    "weighted_mean": _apply_mean,
    "median": _apply_median,
    "trimmed_mean": _apply_trimmed_mean,
    "krum": _apply_krum,
    "multi_krum": _apply_krum,
    "geometric_median": partial(_apply_center, find_geometric_median),
    "centered_clipping": partial(_apply_center, clip_to_center),
    "norm_clip": _apply_norm_clip,
    "coherence_filter": _apply_coherence,
}
RULE_NAMES = tuple(_RULES)
