"""Many updates as one matrix without copying them: a table of where each row lies in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np

from flobc.errors import LocalProtocolError
from flobc.numerics.kernels import Int32s, Int64s, checked

WEIGHT_ONE = 1 << 20
DISCOUNT_ONE = 1 << 16

Updates: TypeAlias = Sequence[Int32s] | Int32s
"""A list of int32[D] arrays (memory-mapped ones too) or one int32[n, D] matrix."""


class Target(NamedTuple):
    """Where a kernel adds its step: coordinates ``[start, stop)`` of one segment."""

    model: Int32s
    out: Int32s
    start: int
    stop: int
    lo: int
    hi: int


@dataclass(frozen=True)
class UpdateRows:
    """The updates that take part in a rule, undiscounted ones first.

    Every rule is independent of the order of its inputs, so rows may be sorted for the kernels'
    sake: those with a discount need a multiplication more per coordinate.
    """

    positions: tuple[int, ...]
    """Where each row stood in the caller's sequence."""
    addresses: Int64s
    weights: Int32s
    discounts: Int32s
    undiscounted: int
    """How many rows, from the first, have the discount 65536 (none)."""
    kept_alive: tuple[Int32s, ...] = field(repr=False)

    @property
    def mass(self) -> int:
        """Sum of the weights, in units of 2^-20."""
        return int(self.weights.sum(dtype=np.int64))


def check_weights(weights: Sequence[int], discounts: Sequence[int], count: int) -> None:
    """Check that weights and discounts fit ``count`` updates.

    Raises:
        LocalProtocolError: a length, a range or the sum of the weights is wrong (AGG-5, AGG-6).
    """
    if len(weights) != count or len(discounts) != count:
        raise LocalProtocolError(
            "AGG-5",
            f"one weight and one discount for each of {count} updates",
            f"{len(weights)} weights and {len(discounts)} discounts",
        )
    if any(weight < 0 for weight in weights) or sum(weights) > WEIGHT_ONE:
        raise LocalProtocolError(
            "AGG-5",
            f"weights from 0 that sum to at most {WEIGHT_ONE}",
            f"smallest {min(weights)}, sum {sum(weights)}",
        )
    if any(not 0 <= discount <= DISCOUNT_ONE for discount in discounts):
        raise LocalProtocolError(
            "AGG-6",
            f"discounts in [0, {DISCOUNT_ONE}]",
            f"smallest {min(discounts)}, largest {max(discounts)}",
        )


def tabulate(updates: Updates, weights: Sequence[int], discounts: Sequence[int], size: int) -> UpdateRows:
    """The rows of ``updates`` whose weight is not zero (AGG-7), for vectors of ``size`` numbers.

    Raises:
        LocalProtocolError: an array, a weight or a discount is not what it should be.
    """
    count = len(updates)
    check_weights(weights, discounts, count)
    taking_part = [position for position in range(count) if weights[position] > 0]
    positions = sorted(taking_part, key=lambda position: discounts[position] != DISCOUNT_ONE)
    arrays = tuple(checked(updates[position], np.int32, size, f"update {position}") for position in positions)
    return UpdateRows(
        positions=tuple(positions),
        addresses=np.array([array.ctypes.data for array in arrays], dtype=np.int64),
        weights=np.array([weights[position] for position in positions], dtype=np.int32),
        discounts=np.array([discounts[position] for position in positions], dtype=np.int32),
        undiscounted=sum(discounts[position] == DISCOUNT_ONE for position in positions),
        kept_alive=arrays,
    )
