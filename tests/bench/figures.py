"""The figures we hold ourselves to, and how a measurement is judged.

A figure is one row of the table: what we do, whom we compare with, and the bar. With a peer the bar
bounds the ratio ours / peer; without one it bounds our own value.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

# A median this far above the fastest repeat says more about the machine's other work than about us.
NOISE_LIMIT = 1.5

Report = dict[str, float]


@dataclass(frozen=True)
class Source:
    """Keys of one benchmark program; of several the fastest counts, so the peer shows its best form."""

    bench: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    ours: Source
    peer: Source | None
    bar: float | None
    unit: str
    better: Literal["lower", "higher"]


@dataclass(frozen=True)
class Row:
    """A judged figure; ``None`` stands for what was not measured."""

    figure: Figure
    ours: float | None
    peer: float | None
    ratio: float | None
    met: bool | None
    noisy: bool


def numerics(*keys: str) -> Source:
    return Source("bench_numerics", keys)


def flower(rule: str) -> Source:
    return Source("flower_aggregation", (f"{rule}_arrays_s", f"{rule}_messages_s"))


FLOWER_FEDAVG = Source("flower_aggregation", (*flower("fedavg").keys, "fedavg_legacy_s"))
ROUND = Source("bench_round", ("round_s",))
SERVICES = Source("bench_services", ("int16_round_s",))

FIGURES = (
    Figure("weighted mean / numpy w @ X", numerics("weighted_mean_s"), numerics("numpy_wX_s"), 1.5, "s", "lower"),
    Figure("weighted mean / Flower FedAvg", numerics("weighted_mean_s"), FLOWER_FEDAVG, 1 / 4, "s", "lower"),
    Figure("krum, small / numpy A @ A.T", numerics("krum_small_s"), numerics("numpy_gram_s"), 1.5, "s", "lower"),
    Figure("krum, large / numpy A @ A.T", numerics("krum_large_s"), numerics("numpy_gram_s"), 4.0, "s", "lower"),
    Figure("krum, small / Flower Krum", numerics("krum_small_s"), flower("krum"), 1.0, "s", "lower"),
    Figure("median / Flower FedMedian", numerics("median_s"), flower("median"), 1 / 8, "s", "lower"),
    Figure(
        "trimmed mean / Flower FedTrimmedAvg",
        numerics("trimmed_mean_s"),
        flower("trimmed_mean"),
        1 / 8,
        "s",
        "lower",
    ),
    Figure("int16 encode and hash", numerics("int16_encode_hash_gb_s"), None, 1.5, "GB/s", "higher"),
    Figure("extra memory of a rule / input", numerics("extra_memory_ratio"), None, 0.05, "x", "lower"),
    Figure("round / Flower simulation", ROUND, Source("flower_simulation", ("round_s",)), 1 / 4, "s", "lower"),
    Figure(
        "round / Flower, 5 ms poll",
        ROUND,
        Source("flower_simulation", ("round_fast_poll_s",)),
        1 / 4,
        "s",
        "lower",
    ),
    Figure("services' round, int16", SERVICES, None, 1.0, "s", "lower"),
    Figure("services' round, int8", Source("bench_services", ("int8_round_s",)), None, 1.0, "s", "lower"),
    Figure(
        "services' round / Flower deployment",
        SERVICES,
        Source("flower_deployment", ("round_s",)),
        1 / 25,
        "s",
        "lower",
    ),
    Figure(
        "1,000 virtual trainers, 1 validator / Flower simulation",
        Source("bench_simulation", ("single_round_s",)),
        Source("flower_training", ("round_s",)),
        1 / 10,
        "s",
        "lower",
    ),
    Figure(
        "1,000 virtual trainers, 4 validators / Flower simulation",
        Source("bench_simulation", ("round_s",)),
        Source("flower_training", ("round_s",)),
        1 / 10,
        "s",
        "lower",
    ),
)


def judge(figure: Figure, reports: dict[str, Report]) -> Row:
    """Compare one figure with its bar; what is missing from ``reports`` stays ``None``."""
    ours, ours_noisy = read_value(figure.ours, reports, figure.better)
    if figure.peer is None:
        return Row(figure, ours, None, None, is_met(figure, ours), ours_noisy)
    peer, peer_noisy = read_value(figure.peer, reports, figure.better)
    ratio = ours / peer if ours is not None and peer else None
    return Row(figure, ours, peer, ratio, is_met(figure, ratio), ours_noisy or peer_noisy)


def is_met(figure: Figure, value: float | None) -> bool | None:
    if value is None or figure.bar is None:
        return None
    return value <= figure.bar if figure.better == "lower" else value >= figure.bar


def read_value(source: Source, reports: dict[str, Report], better: str) -> tuple[float | None, bool]:
    """Give the best of the source's keys, and whether that measurement was noisy."""
    report = reports.get(source.bench, {})
    known = [key for key in source.keys if key in report]
    if not known:
        return None, False
    key = (min if better == "lower" else max)(known, key=lambda name: report[name])
    fastest = report.get(f"{key}_min")
    return report[key], fastest is not None and report[key] > NOISE_LIMIT * fastest


def merge_reports(passes: list[Report]) -> Report:
    """Make one report of several passes: the median of medians, the least of the ``_min`` values."""
    merged: Report = {}
    for key in sorted(set().union(*passes)):
        values = sorted(report[key] for report in passes if key in report)
        merged[key] = values[0] if key.endswith("_min") else statistics.median(values)
        # A program that reports no minimum of its own still has the spread between its passes.
        if key.endswith("_s") and len(values) > 1:
            merged.setdefault(f"{key}_min", values[0])
    return merged
