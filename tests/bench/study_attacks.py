"""What attacks cost: three trainers of ten attack, under the default rules and under none.

Beside them two runs without attackers: ``all`` with ten honest trainers, and ``fewer`` with the seven whose
data are left when three attack. The bar is held against the better one, seed by seed. An accuracy is the mean of the
last ``LAST`` rounds: one round moves by a point. Accuracies in percent, differences in points.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from flobc.composition.embedded import EmbeddedRun
from flobc.composition.genesis import Shards, build_federation, build_shards
from flobc.composition.presets import get_preset
from flobc.composition.reports import RoundReport, SilentObserver
from flobc.composition.settings import RunSettings
from flobc.composition.stores import Stores, build_memory_stores
from flobc.learning.attacks import Attack, Backdoor, parse_attack
from flobc.learning.layout import build_grid
from flobc.learning.tasks import get_task
from flobc.protocol.params import AggregationParams, ChainParams, ScoringParams
from flobc.protocol.trust.params import TrustParams
from flobc.protocol.trust.weights import WeightParams
from tests.bench.study_cells import CellFile, Record, estimate_mean, format_columns, judge_bar
from tests.bench.study_runs import compute_settings_digest

BAR_POINTS = 2.0
TRAINERS, ATTACKERS, VALIDATORS = 10, 3, 4
TASK, SHARDING = "digits", "dirichlet:0.5"
ROUNDS, LAST = 25, 5
ATTACKS = (
    "noise_ramp",
    "noise_step",
    "gaussian",
    "sign_flip",
    "sign_flip:factor=3",
    "scaling",
    "label_flip",
    "backdoor",
    "backdoor:boost=3",
    "copycat",
    "free_rider",
    "zero",
    "alie",
    "alie:z=1.5",
    "ipm",
    "ipm:epsilon=1.5",
    "min_max",
    "nan",
)

Rules = Literal["default", "plain"]
RULES: tuple[Rules, ...] = ("default", "plain")
ALL, FEWER = "", "fewer"


def build_params(rules: Rules) -> ChainParams:
    """``plain`` is federated averaging: all trusted alike, everything finite accepted, no norm bound."""
    params = get_preset("default").params
    if rules == "default":
        return params
    return dataclasses.replace(
        params,
        trust=TrustParams(policy="none"),
        weights=WeightParams(max_share_ppm=1_000_000),
        scoring=ScoringParams(accept_tolerance=1_000_000),
        aggregation=AggregationParams(rule="weighted_mean", norm_factor_ppm=0),
    )


@dataclass(frozen=True)
class AttackCell:
    """One run; ``attack`` is "" for ten honest trainers and "fewer" for the seven that are left."""

    task: str
    rounds: int
    rules: Rules
    attack: str
    seed: int

    def build_settings(self, data: Path | None) -> RunSettings:
        """All ten trainers, of whom the last three attack."""
        return dataclasses.replace(
            get_preset("default"),
            task=self.task,
            trainers=TRAINERS,
            validators=VALIDATORS,
            rounds=self.rounds,
            seed=self.seed,
            params=build_params(self.rules),
            sharding=SHARDING,
            attacks=() if self.attack in (ALL, FEWER) else (f"{self.attack}@{ATTACKERS / TRAINERS:g}",),
            data_directory=data,
        )

    def describe(self) -> Record:
        """All that the result depends on, as JSON data."""
        settings = compute_settings_digest(self.build_settings(None))
        return {"study": "attacks", "settings": settings, **asdict(self)}


def list_cells(task: str, rounds: int, attacks: Sequence[str], seeds: Sequence[int]) -> list[AttackCell]:
    """Every attack and both runs without one, under both sets of rules."""
    return [
        AttackCell(task, rounds, rules, attack, seed)
        for rules in RULES
        for attack in (ALL, FEWER, *attacks)
        for seed in seeds
    ]


class Outcomes(SilentObserver):
    """Counts what becomes of attackers' and of honest updates, and keeps the attackers' weights of each round."""

    def __init__(self) -> None:
        self.accepted = {True: 0, False: 0}
        self.rejected = {True: 0, False: 0}
        self.weights: list[float] = []
        self.trust = 0.0

    def on_round(self, report: RoundReport) -> None:
        """Count a block."""
        for trainer in report.trainers:
            attacks = trainer.attack is not None
            self.accepted[attacks] += trainer.outcome == "accepted"
            self.rejected[attacks] += trainer.outcome not in ("accepted", "none", "superseded", "duplicate")
        self.weights.append(sum(trainer.weight_share for trainer in report.trainers if trainer.attack is not None))
        self.trust = sum(trainer.trust_share for trainer in report.trainers if trainer.attack is not None)


def measure_cell(cell: AttackCell, data: Path | None) -> Record:
    """Run a federation and say how good its model is and what the attackers got in."""
    started = time.monotonic()
    settings, task = cell.build_settings(data), get_task(cell.task)
    shards = build_shards(settings, task)
    if cell.attack == FEWER:
        settings = dataclasses.replace(settings, trainers=TRAINERS - ATTACKERS)
        shards = Shards(shards.trainers[: settings.trainers], shards.validators, shards.test)
    federation = build_federation(settings, task)
    stores, seen = build_memory_stores(federation.genesis, keeps_payloads=False), Outcomes()
    run = EmbeddedRun(settings, federation, shards, stores, seen)
    try:
        run.run(settings.rounds)
    finally:
        run.close()
    curve = [test.accuracy for _, test in sorted(run.tests.items())]
    return {
        "accuracy": statistics.fmean(curve[-LAST:]),
        "curve": [round(accuracy, 6) for accuracy in curve],
        "attackers": {
            "accepted": seen.accepted[True],
            "rejected": seen.rejected[True],
            "weight": round(statistics.fmean(seen.weights), 6),
            "trust": round(seen.trust, 6),
        },
        "honest": {"accepted": seen.accepted[False], "rejected": seen.rejected[False]},
        "backdoor": _measure_backdoor(cell, run, stores, shards),
        "seconds": round(time.monotonic() - started, 1),
    }


def _measure_backdoor(cell: AttackCell, run: EmbeddedRun, stores: Stores, shards: Shards) -> float | None:
    """How many marked examples of other classes the last model takes for the target; an honest model's too."""
    attack: Attack = Backdoor() if cell.attack in (ALL, FEWER) else parse_attack(cell.attack).attack
    model = stores.models.get(run.state.head.header.model)
    if not isinstance(attack, Backdoor) or model is None:
        return None
    vector = build_grid(run.state.genesis.model).to_float(model)
    return get_task(cell.task).evaluate(vector, attack.build_probe(shards.test)).accuracy


def measure(cells: Sequence[AttackCell], file: CellFile, data: Path | None) -> list[Record]:
    """Run what the file does not hold yet; return all results in the cells' order."""
    for cell in cells:
        if file.find(cell.describe()) is None:
            file.append(cell.describe(), measure_cell(cell, data))
    return [found for cell in cells if (found := file.find(cell.describe())) is not None]


def report(cells: Sequence[AttackCell], results: Sequence[Record]) -> str:
    """Lay out what each attack cost under each set of rules, and who was let in."""
    found = {(cell.rules, cell.attack, cell.seed): result for cell, result in zip(cells, results, strict=True)}
    attacks = list(dict.fromkeys(cell.attack for cell in cells))
    seeds = list(dict.fromkeys(cell.seed for cell in cells))
    tables = []
    for rules in RULES:
        lines = [("attack", "accuracy %", "cost", "worst seed", "in", "out", "weight %", "honest out", "backdoor %")]
        for attack in attacks:
            lines.append(_format_line(rules, attack, found, seeds))
        tables.append(f"{rules}\n{format_columns(lines)}\n{_judge(rules, attacks, found, seeds)}")
    return "\n\n".join(tables)


Found = dict[tuple[Rules, str, int], Record]


def compute_costs(rules: Rules, attack: str, found: Found, seeds: Sequence[int]) -> list[float]:
    """Points lost in each seed against the better of the default's two runs without attackers."""
    return [
        100
        * (
            max(found["default", quiet, seed]["accuracy"] for quiet in (ALL, FEWER))
            - found[rules, attack, seed]["accuracy"]
        )
        for seed in seeds
    ]


def _format_line(rules: Rules, attack: str, found: Found, seeds: Sequence[int]) -> tuple[str, ...]:
    name = {ALL: "nobody, ten honest", FEWER: "nobody, seven honest"}.get(attack, attack)
    runs = [found[rules, attack, seed] for seed in seeds]
    costs = compute_costs(rules, attack, found, seeds)
    counts = [statistics.fmean(run["attackers"][key] for run in runs) for key in ("accepted", "rejected")]
    weight = statistics.fmean(100 * run["attackers"]["weight"] for run in runs)
    success = [100 * run["backdoor"] for run in runs if run["backdoor"] is not None]
    return (
        name,
        str(estimate_mean([100 * run["accuracy"] for run in runs])),
        f"{statistics.fmean(costs):.2f}",
        f"{max(costs):.2f}",
        *(f"{count:.1f}" for count in counts),
        f"{weight:.1f}",
        f"{statistics.fmean(run['honest']['rejected'] for run in runs):.1f}",
        f"{statistics.fmean(success):.1f}" if success else "-",
    )


def _judge(rules: Rules, attacks: Sequence[str], found: Found, seeds: Sequence[int]) -> str:
    costs = {
        attack: estimate_mean(compute_costs(rules, attack, found, seeds))
        for attack in attacks
        if attack not in (ALL, FEWER)
    }
    dearest = max(costs, key=lambda attack: costs[attack].mean)
    return f"dearest: {dearest}, {costs[dearest]} points; {judge_bar(costs[dearest], BAR_POINTS)}"
