"""Aggregation rules: from a model and weighted updates to the next model (AGG-20 to AGG-26)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flobc.errors import LocalProtocolError
from flobc.numerics.aggregate import mean_of_rows
from flobc.numerics.distances import squared_distances
from flobc.numerics.fixed_point import Grid, norm
from flobc.numerics.kernels import Int32s
from flobc.numerics.order_statistics import median_of_rows, trimmed_mean_of_rows
from flobc.numerics.rows import UpdateRows, Updates, tabulate

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
    m: int = 1
    """``multi_krum``: how many updates to average."""

    def __post_init__(self) -> None:
        if self.name not in RULE_NAMES:
            raise LocalProtocolError("AGG-20", f"a rule among {', '.join(RULE_NAMES)}", repr(self.name))
        if not 0 <= self.trim_ppm < 500_000:
            raise LocalProtocolError("AGG-22", "trim_ppm in [0, 500000)", str(self.trim_ppm))
        if self.byzantine < 0 or self.m < 1:
            raise LocalProtocolError(
                "AGG-24", "byzantine >= 0 and m >= 1", f"byzantine {self.byzantine}, m {self.m}"
            )


@dataclass(frozen=True)
class WeightedUpdates:
    """The updates of a round; every sequence runs over the same updates, in any order."""

    updates: Updates
    weights: Sequence[int]
    """Units of 2^-20, sum at most 2^20. An update of weight 0 takes no part."""
    discounts: Sequence[int]
    """Units of 2^-16; 65536 leaves an update as it is."""
    keys: Sequence[bytes] | None = None
    """Digests that break ties, least first; without them the position does."""
    norms: Sequence[int] | None = None
    """``norm`` of each update before its discount; computed where it is needed and not given."""


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
        case "weighted_mean":
            return 0
        case "median":
            return 3
        case "trimmed_mean":
            # So many that, at equal weights, a whole update is cut at either end.
            return max(3, -(-1_000_000 // rule.trim_ppm)) if rule.trim_ppm else 0
        case "krum":
            return 2 * rule.byzantine + 3
        case _:
            return max(2 * rule.byzantine + 3, rule.byzantine + rule.m)


def apply_rule(rule: RuleSpec, model: Int32s, batch: WeightedUpdates, grid: Grid) -> RuleResult:
    """``model`` (int32[D]) after ``rule`` on the updates of ``batch``.

    The result depends on neither the order of the updates, given ``keys``, nor the number of
    threads. Extra memory beyond the result: at most 24 bytes x 8,192 for each update.

    Raises:
        LocalProtocolError: an array, a weight or a discount is not what it should be.
    """
    rows = tabulate(batch.updates, batch.weights, batch.discounts, grid.size)
    if len(rows.positions) < minimum_updates(rule):
        return _apply_fallback(model, rows, batch, grid)
    return _RULES[rule.name](rule, model, rows, batch, grid)


def clip_discounts(discounts: Sequence[int], norms: Sequence[int], bound: int) -> tuple[int, ...]:
    """``discounts`` lowered so that no discounted norm exceeds ``bound`` (AGG-25).

    **Units**: ``norms`` in grid units before the discount; ``bound`` in 2^-16 grid units, like
    ``norm * discount``.
    """
    return tuple(
        discount if length * discount <= bound else bound // length
        for discount, length in zip(discounts, norms, strict=True)
    )


def _apply_fallback(model: Int32s, rows: UpdateRows, batch: WeightedUpdates, grid: Grid) -> RuleResult:
    if not rows.positions:
        return RuleResult(mean_of_rows(model, rows, grid), CLIPPED_MEAN, ())
    positions = sorted(rows.positions)
    norms = [batch.norms[at] if batch.norms else norm(batch.updates[at]) for at in positions]
    discounts = [batch.discounts[at] for at in positions]
    lengths = sorted(length * discount for length, discount in zip(norms, discounts, strict=True))
    clipped = list(batch.discounts)
    for at, discount in zip(
        positions, clip_discounts(discounts, norms, lengths[(len(lengths) - 1) // 2]), strict=True
    ):
        clipped[at] = discount
    rows = tabulate(batch.updates, batch.weights, clipped, grid.size)
    return RuleResult(mean_of_rows(model, rows, grid), CLIPPED_MEAN, tuple(positions))


def _apply_mean(
    rule: RuleSpec, model: Int32s, rows: UpdateRows, batch: WeightedUpdates, grid: Grid
) -> RuleResult:
    return RuleResult(mean_of_rows(model, rows, grid), rule.name, tuple(sorted(rows.positions)))


def _apply_median(
    rule: RuleSpec, model: Int32s, rows: UpdateRows, batch: WeightedUpdates, grid: Grid
) -> RuleResult:
    return RuleResult(median_of_rows(model, rows, grid), rule.name, tuple(sorted(rows.positions)))


def _apply_trimmed_mean(
    rule: RuleSpec, model: Int32s, rows: UpdateRows, batch: WeightedUpdates, grid: Grid
) -> RuleResult:
    if not rows.positions:
        return _apply_mean(rule, model, rows, batch, grid)
    result = trimmed_mean_of_rows(model, rows, grid, rule.trim_ppm)
    return RuleResult(result, rule.name, tuple(sorted(rows.positions)))


def _apply_krum(
    rule: RuleSpec, model: Int32s, rows: UpdateRows, batch: WeightedUpdates, grid: Grid
) -> RuleResult:
    wanted = rule.m if rule.name == "multi_krum" else 1
    selected = _select_by_krum(rule, rows, batch, grid)[:wanted]
    # The selected share the mass of all, else choosing few of many would shrink the step.
    selected_mass = sum(batch.weights[at] for at in selected)
    weights = [0] * len(batch.weights)
    for at in selected:
        weights[at] = batch.weights[at] * rows.mass // selected_mass
    chosen = tabulate(batch.updates, weights, batch.discounts, grid.size)
    return RuleResult(mean_of_rows(model, chosen, grid), rule.name, tuple(sorted(selected)))


def _select_by_krum(rule: RuleSpec, rows: UpdateRows, batch: WeightedUpdates, grid: Grid) -> list[int]:
    """Positions by score, then greater weight, then key (AGG-24)."""
    neighbours = len(rows.positions) - rule.byzantine - 2
    distances = squared_distances(rows, grid.size)

    def order(row: int) -> tuple[int, int, bytes, int]:
        others = distances[row][:row] + distances[row][row + 1 :]
        at = rows.positions[row]
        key = batch.keys[at] if batch.keys else b""
        return sum(sorted(others)[:neighbours]), -batch.weights[at], key, at

    return [rows.positions[row] for row in sorted(range(len(rows.positions)), key=order)]


_Rule = Callable[[RuleSpec, "Int32s", UpdateRows, WeightedUpdates, Grid], RuleResult]
_RULES: dict[str, _Rule] = {
    "weighted_mean": _apply_mean,
    "median": _apply_median,
    "trimmed_mean": _apply_trimmed_mean,
    "krum": _apply_krum,
    "multi_krum": _apply_krum,
}
RULE_NAMES = tuple(_RULES)
