"""The rules of spec/AGG.md once more, one coordinate at a time in plain Python integers: slow and obvious."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

ONE = 1 << 20


def discounted(update: list[int], discount: int) -> list[int]:
    """AGG-6."""
    return [(q * discount + 32768) >> 16 for q in update]


def add(model: list[int], steps: list[int], lo: int, hi: int) -> list[int]:
    """AGG-20."""
    return [min(max(value + step, lo), hi) for value, step in zip(model, steps, strict=True)]


def mean_step(column: list[int], weights: list[int]) -> int:
    """AGG-20."""
    return (sum(w * u for w, u in zip(weights, column, strict=True)) + ONE // 2) >> 20


def median_step(column: list[int], weights: list[int]) -> int:
    """AGG-21."""
    mass = sum(weights)
    reached = 0
    for value, weight in sorted(zip(column, weights, strict=True)):
        reached += weight
        if 2 * reached >= mass:
            return (value * mass + ONE // 2) >> 20
    raise AssertionError("weights sum to nothing")


def trimmed_step(column: list[int], weights: list[int], trim_ppm: int) -> int:
    """AGG-22."""
    mass = sum(weights)
    cut = mass * trim_ppm // 10**6
    total = position = 0
    for value, weight in sorted(zip(column, weights, strict=True)):
        left = max(position, cut)
        right = min(position + weight, mass - cut)
        total += value * max(0, right - left)
        position += weight
    kept = mass - 2 * cut
    mean = (Fraction(total, kept) + Fraction(1, 2)).__floor__()
    return (mean * mass + ONE // 2) >> 20


def distance(a: list[int], b: list[int]) -> int:
    """AGG-23."""
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def krum_order(updates: list[list[int]], weights: list[int], keys: list[bytes], byzantine: int) -> list[int]:
    """AGG-24."""
    count = len(updates)

    def score(i: int) -> int:
        others = sorted(distance(updates[i], updates[j]) for j in range(count) if j != i)
        return sum(others[: count - byzantine - 2])

    return sorted(range(count), key=lambda i: (score(i), -weights[i], keys[i]))


def norm(update: list[int]) -> int:
    """AGG-8."""
    return isqrt(sum(q * q for q in update))


def encode_block(values: list[int], bits: int) -> tuple[list[int], int]:
    """AGG-14: mantissas and exponent."""
    exponent = max(0, max(abs(q) for q in values).bit_length() - bits)
    limit = (1 << bits) - 1
    return [min(max(round(Fraction(q, 1 << exponent)), -limit), limit) for q in values], exponent


def incoherent_rows(updates: list[list[int]], weights: list[int], keys: list[bytes]) -> list[int]:
    """AGG-30: from the vectors themselves, in fractions."""
    kept = list(range(len(updates)))
    while len(kept) >= 5:
        total = sum(weights[i] for i in kept)
        columns = list(zip(*(updates[i] for i in kept), strict=True))
        mean = [Fraction(sum(weights[i] * u for i, u in zip(kept, c, strict=True)), total) for c in columns]
        apart = {i: [u - m for u, m in zip(updates[i], mean, strict=True)] for i in kept}

        def product(i: int, j: int, apart: dict[int, list[Fraction]] = apart) -> Fraction:
            return sum((a * b for a, b in zip(apart[i], apart[j], strict=True)), Fraction(0))

        variance = sum(weights[i] * product(i, i) for i in kept)
        found = {}
        for i in kept:
            shared = sum(weights[j] * product(i, j) ** 2 for j in kept if j != i)
            found[i] = shared / product(i, i) / variance if product(i, i) else Fraction(0)
        bound = max(Fraction(1, 5), Fraction(3, 4) * max(found.values()))
        left, before = total, len(kept)
        for _, _, i in sorted((-found[i], keys[i], i) for i in kept if found[i] > bound):
            if 2 * (left - weights[i]) > sum(weights):
                kept.remove(i)
                left -= weights[i]
        if len(kept) == before:
            break
    return kept


def _distances(updates: list[list[int]], shares: list[int], total: int) -> list[int]:
    center = [sum(share * u for share, u in zip(shares, column, strict=True)) for column in zip(*updates, strict=True)]
    return [isqrt(sum((total * u - c) ** 2 for u, c in zip(update, center, strict=True))) for update in updates]


def geometric_median_shares(updates: list[list[int]], weights: list[int]) -> list[int]:
    """AGG-27."""
    shares = [weight * ONE // sum(weights) for weight in weights]
    for _ in range(8):
        total = sum(shares)
        lengths = [max(total, length) for length in _distances(updates, shares, total)]
        pulls = [w * max(lengths) * ONE // length for w, length in zip(weights, lengths, strict=True)]
        shares = [pull * ONE // sum(pulls) for pull in pulls]
    return shares


def centered_clipping_shares(updates: list[list[int]], weights: list[int]) -> list[int]:
    """AGG-28."""
    shares, mass = [0] * len(weights), sum(weights)
    for _ in range(3):
        lengths = _distances(updates, shares, ONE)
        bound = sorted(lengths)[(len(lengths) - 1) // 2]
        scales = [65536 if length <= bound else bound * 65536 // length for length in lengths]
        left = 65536 * mass - sum(w * s for w, s in zip(weights, scales, strict=True))
        shares = [(c * left + ONE * w * s) // (65536 * mass) for c, w, s in zip(shares, weights, scales, strict=True)]
    return shares
