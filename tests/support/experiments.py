"""Tiny experiments whose task is plain numpy, and records that nobody had to compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flobc.simulation.experiments.figures import Found, Points
from flobc.simulation.experiments.loading import read_experiment
from flobc.simulation.experiments.measures import Outcome

TINY = """
title: Tiny
question: Does it run?
seeds: 2
world:
  run: {task: "examples.numpy_task:task", trainers: 4, validators: 4, rounds: 2, sync: bsp}
parts:
  - name: one
    target: 50
    axes:
      - {name: trust, key: run.trust, values: [none, flobc_plus]}
    measures: [final_accuracy, target_round, payload_bytes, seconds, lowest_trust]
    charts:
      - {kind: curves, title: By round, x: round, lines: trust}
      - {kind: curves, title: By time, x: time, lines: trust}
      - {kind: trust, title: Trust, panels: trust}
      - {kind: points, title: Accuracy, measure: final_accuracy, x: trust}
paper:
  - claim: It learns.
    source: ours
    part: one
    measure: final_accuracy
    over: trust
    at_least: 50
"""


def make_outcome(accuracies: Sequence[float], **others: Any) -> Outcome:
    """What a cell with these test accuracies (shares) by round might have found, a second for each round."""
    heights = list(range(1, len(accuracies) + 1))
    record = {
        "status": "finished",
        "height": len(accuracies),
        "head": "",
        "virtual_ms": 1000 * len(accuracies),
        "rounds": {
            "height": heights,
            "virtual_ms": [1000 * height for height in heights],
            "test_accuracy": list(accuracies),
            "accepted": [3] * len(accuracies),
            "rejected": [{"low_score": 1}] * len(accuracies),
            "payload_bytes": [100] * len(accuracies),
            "log_bytes": [10] * len(accuracies),
        },
        "trainers": {"trust_share": [0.6, 0.3, 0.1], "weight_share": [0.5, 0.5, 0.0], "attack": ["", "", "nan"]},
        "trust": [],
    }
    return Outcome({**record, **others})


def make_found(text: str, values: dict[tuple[Points, int], Outcome]) -> Found:
    """The first part of an experiment, with outcomes by points and seed."""
    return Found(read_experiment("made.yaml", text).experiment.parts[0], values)
