"""A load plan: which mixes of trainers and validators are tried, how often, and how each is measured."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from flobc.errors import UsageError

MIN_FIT = 3
"""Fewer points say nothing about a curve of two parameters."""


@dataclass(frozen=True, order=True)
class Step:
    """One mix that is measured."""

    trainers: int
    validators: int

    @property
    def name(self) -> str:
        """The mix as people write a ratio."""
        return f"{self.trainers}:{self.validators}"


@dataclass(frozen=True)
class Window:
    """How long something goes on: until ``seconds`` have passed or, where given, so many ``rounds``."""

    seconds: float | None = None
    rounds: int | None = None


@dataclass(frozen=True)
class Drain:
    """After a step trainers rest until no block has come for ``quiet_s``; after ``timeout_s`` that is a mistake."""

    quiet_s: float = 5.0
    timeout_s: float = 120.0


@dataclass(frozen=True)
class LoadPlan:
    """What ``flobc load`` does. ``system`` are options of ``flobc up``, for systems that it starts itself.

    ``max_machine_share`` is the share of a machine's processors above which a point says more of the machine than of
    the ratio. ``source`` is the text that this was read from.
    """

    name: str
    steps: tuple[Step, ...]
    repeats: int = 3
    warm_up: Window = field(default_factory=lambda: Window(rounds=5))
    measure: Window = field(default_factory=lambda: Window(seconds=60))
    drain: Drain = field(default_factory=Drain)
    ready_timeout_s: float = 300.0
    max_machine_share: float = 0.8
    system: tuple[tuple[str, str], ...] = ()
    source: str = ""

    def describe(self) -> dict[str, Any]:
        """Return as plain data what the plan says, however it was written down."""
        data = dataclasses.asdict(self)
        del data["source"]
        return data


def parse_ratio(text: str, nodes: int) -> Step:
    """Return the step that ``T:V`` asks for among ``nodes``. **Raises** UsageError when it does not come out even."""
    found = re.fullmatch(r"(\d{1,6}):(\d{1,6})", text)
    if found is None or not int(found[1]) or not int(found[2]):
        raise UsageError(f"must be TRAINERS:VALIDATORS, such as 7:3, not {text!r}.")
    trainers, validators = int(found[1]), int(found[2])
    share, rest = divmod(nodes, trainers + validators)
    if rest or not share:
        raise UsageError(
            f"{text!r} does not divide {nodes} nodes: {trainers} + {validators} is not contained in it a whole number "
            "of times; give another ratio or number of nodes."
        )
    return Step(trainers * share, validators * share)
