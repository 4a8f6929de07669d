"""Port: where a service counts what it does, by the names that the catalogue of metrics has."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Counts and measures. May be called from any thread and never fails for what was measured."""

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter, or to a gauge."""
        ...

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Enter a value into a histogram."""
        ...


class _Silence:
    """For whoever is not to count."""

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count nothing."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set nothing."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Enter nothing."""


SILENCE: Meter = _Silence()
