"""Tiny simulated worlds whose task is plain numpy."""

from __future__ import annotations

from typing import Any

from examples.numpy_task import task as numpy_task
from flobc.learning.task import Task
from flobc.simulation.loading import read_world
from flobc.simulation.simulate import SimulationResult, simulate

TINY = "run: {trainers: 4, validators: 4, rounds: 3, sync: bsp}\n"


def simulate_text(text: str, *, task: Task = numpy_task, workers: int = 2, **options: Any) -> SimulationResult:
    """Simulate the world that a text describes."""
    return simulate(read_world("world.yaml", text), task=task, workers=workers, **options)
