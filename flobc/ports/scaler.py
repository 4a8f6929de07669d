"""Ports: how many nodes of a role there are, and what they use of their machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

ScaledRole = Literal["trainer", "validator"]
SCALED_ROLES: tuple[ScaledRole, ...] = ("trainer", "validator")


class Scaler(Protocol):
    """Sets how many nodes of a role run. Every method raises TransientError while it cannot reach what it scales."""

    def get_replicas(self, role: ScaledRole) -> int:
        """Return how many nodes of a role there are to be."""
        ...

    def validate_replicas(self, role: ScaledRole, replicas: int) -> None:
        """Check that ``set_replicas`` would do it, and change nothing. **Raises** UsageError saying what to do."""
        ...

    def set_replicas(self, role: ScaledRole, replicas: int) -> None:
        """Start or stop nodes until there are so many; those with the highest numbers come and go.

        **Raises** UsageError, having changed nothing, when that cannot be done.
        """
        ...

    def is_ready(self, role: ScaledRole) -> bool:
        """Return whether as many nodes of a role as there are to be have come up, and no more are left."""
        ...


@dataclass(frozen=True)
class Usage:
    """Processor seconds so far. A share of a machine is the difference of two readings over their time.

    ``cpu_s`` is by role, of all its nodes. ``machine_s`` are busy seconds of each machine over all of its cores, by
    machine's name; ``cores`` how many each has. ``at_s`` is the time of the reading on any one clock.
    """

    at_s: float
    cpu_s: Mapping[str, float]
    machine_s: Mapping[str, float]
    cores: Mapping[str, int]


class UsageMeter(Protocol):
    """Reads what a system uses."""

    def read(self) -> Usage:
        """Return the processor seconds used so far; empty where they cannot be had. **Raises** TransientError."""
        ...
