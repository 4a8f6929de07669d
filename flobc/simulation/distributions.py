"""Seeded draws: a distribution is data, and a draw depends on the seed and its labels alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from flobc.protocol.bounds import PPM
from flobc.runtime.seeds import derive_bits
from flobc.simulation.document import Node, Source, is_plain
from flobc.simulation.reading import Read, custom, plain, read_fields, read_plain
from flobc.simulation.units import Kind, duration, number, rate

_BITS, _FLOAT_BITS = 64, 52
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Constant:
    """Always the same."""

    value: int

    def quantile(self, share: float) -> float:
        """Return the value below which ``share`` of all draws lie."""
        del share
        return self.value


@dataclass(frozen=True)
class Uniform:
    """Anything between two bounds, equally likely."""

    from_: int
    to: int

    def quantile(self, share: float) -> float:
        """Return the value below which ``share`` of all draws lie."""
        return self.from_ + (self.to - self.from_) * share


@dataclass(frozen=True)
class Exponential:
    """Times between events that do not know of each other."""

    mean: int

    def quantile(self, share: float) -> float:
        """Return the value below which ``share`` of all draws lie."""
        return -self.mean * math.log1p(-share)


@dataclass(frozen=True)
class Lognormal:
    """Half of all below ``median``; the logarithm has the standard deviation ``sigma``."""

    median: int
    sigma: float

    def quantile(self, share: float) -> float:
        """Return the value below which ``share`` of all draws lie."""
        return float(self.median * math.exp(self.sigma * _NORMAL.inv_cdf(share)))


@dataclass(frozen=True)
class Pareto:
    """Heavy-tailed: P(X > x) = (least / x)^alpha, cut off at ``most``."""

    least: int
    alpha: float
    most: int

    def quantile(self, share: float) -> float:
        """Return the value below which ``share`` of all draws lie."""
        return float(min(self.least * (1 - share) ** (-1 / self.alpha), self.most))


Distribution = Constant | Uniform | Exponential | Lognormal | Pareto


def draw(distribution: Distribution, seed: int, *labels: object) -> int:
    """Return a whole number drawn from ``distribution``, the same for the same seed and labels."""
    return round(distribution.quantile(draw_share(seed, *labels)))


def draw_share(seed: int, *labels: object) -> float:
    """Return a number strictly between 0 and 1, the same for the same seed and labels."""
    # The half keeps both ends out, where a logarithm has no value.
    return ((derive_bits(seed, *labels) >> (_BITS - _FLOAT_BITS)) + 0.5) / (1 << _FLOAT_BITS)


def is_drawn(probability_ppm: int, seed: int, *labels: object) -> bool:
    """Return whether something of this probability happens, the same for the same seed and labels."""
    return probability_ppm > 0 and derive_bits(seed, *labels) % PPM < probability_ppm


def distribution_of(kind: Kind, default: Distribution) -> Any:
    """Return a field for a plain value, or for a map of one key that names a shape."""

    def read(source: Source, path: str, node: Node) -> Distribution:
        if is_plain(node):
            return Constant(read_plain(source, path, node, kind))
        shapes = _build_shapes(kind)
        found = list(source.read_map(path, node, tuple(shapes)))
        if len(found) != 1:
            raise source.build_error(path, f"must be {kind.expected}, or one of {', '.join(shapes)}.")
        name, value = found[0]
        distribution: Distribution = read_fields(source, f"{path}.{name}", value, *shapes[name])
        if isinstance(distribution, Uniform) and distribution.to < distribution.from_:
            raise source.build_error(f"{path}.{name}", "must go from the smaller value to the larger one.")
        if isinstance(distribution, Pareto) and distribution.most < distribution.least:
            raise source.build_error(f"{path}.{name}", "must have a most that is no less than its least.")
        return distribution

    return custom(read, default)


def times(default_ms: int, least_ms: int = 0) -> Any:
    """Return a field for a distribution of times."""
    return distribution_of(duration(least_ms), Constant(default_ms))


def rates(default: int) -> Any:
    """Return a field for a distribution of bandwidths."""
    return distribution_of(rate(), Constant(default))


def _build_shapes(kind: Kind) -> dict[str, tuple[type[Any], dict[str, Read]]]:
    """Return each shape with the readers of its keys; bounds are read as ``kind``."""
    bound = plain(kind)
    return {
        "uniform": (Uniform, {"from_": bound, "to": bound}),
        "exponential": (Exponential, {"mean": bound}),
        "lognormal": (Lognormal, {"median": bound, "sigma": plain(number())}),
        "pareto": (Pareto, {"least": bound, "alpha": plain(number(above=True)), "most": bound}),
    }
