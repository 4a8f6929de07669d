"""What boards are made of. Sizes are Grafana's: 24 columns to a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WHOLE, HALF, THIRD, QUARTER, SIXTH = 24, 12, 8, 6, 4
SELECTED = 'namespace=~"$namespace", release=~"$release"'
LEDGERS_ONLY, VALIDATORS_ONLY = 'job="ledger"', 'job="validator"'
CHAIN = "namespace, release"
"""What tells chains apart; validators and ledgers count the same one, so their maximum is the chain's."""

Kind = Literal["lines", "stack", "number", "name"]


@dataclass(frozen=True)
class Query:
    """What is drawn, and what each of its series is called."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Limit:
    """Beyond which value (or below which) an alert fires; its name is its runbook's too."""

    alert: str
    value: float
    below: bool = False


@dataclass(frozen=True)
class Panel:
    """One picture. ``about`` says what is normal; ``unit`` is Grafana's name of it."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    limit: Limit | None = None
    kind: Kind = "lines"
    width: int = THIRD
    decimals: int | None = None


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Board:
    """One board. ``uid`` is its file's name and its address; ``many`` lets it show several releases at a time."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    many: bool = False


def pick(metric: str, *matchers: str) -> str:
    """Return a metric of the chosen namespace and release."""
    return f"{metric}{{{', '.join((SELECTED, *matchers))}}}"


def rate(metric: str, *matchers: str) -> str:
    """Return how much a counter grows in a second."""
    return f"rate({pick(metric, *matchers)}[$__rate_interval])"


def increase(metric: str, *matchers: str) -> str:
    """Return how much a counter grows in an interval of the picture."""
    return f"increase({pick(metric, *matchers)}[$__rate_interval])"


def chain_max(expr: str, *labels: str) -> str:
    """Return the largest of what validators and ledgers say of one chain."""
    return f"max by ({', '.join((CHAIN, *labels))}) ({expr})"


def quantile(share: float, histogram: str, *labels: str, matchers: tuple[str, ...] = ()) -> str:
    """Return a quantile of a histogram's values, by labels."""
    by = ", ".join((CHAIN, *labels, "le"))
    return f"histogram_quantile({share:g}, sum by ({by}) ({rate(histogram + '_bucket', *matchers)}))"


def number(title: str, about: str, unit: str, expr: str, **options: object) -> Panel:
    """Return a panel that shows one number, large."""
    return Panel(title, about, unit, (Query(expr, title),), kind="number", width=SIXTH, **options)  # type: ignore[arg-type]
