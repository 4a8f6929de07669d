"""Texts of a scenario with their units: ``200ms``, ``5MB/s``, ``30%`` become whole numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.protocol.bounds import PPM

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?) ?([a-zA-Z%/]+)")
_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000}
_BYTES = {"B/s": 1, "kB/s": 10**3, "MB/s": 10**6, "GB/s": 10**9}
_SHARES = {"%": PPM // 100}
_MAX_MS = 366 * 24 * 3_600_000
_MAX_CHARACTERS = 200


@dataclass(frozen=True)
class Kind:
    """What a key takes: ``parse`` raises ValueError when the text is not ``expected``, UsageError to say more."""

    expected: str
    parse: Callable[[str], Any]
    choices: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def read(self, given: str) -> Any:
        """Return the value of ``given``. **Raises** UsageError with what is taken, what was given and what is near."""
        try:
            if len(given) > _MAX_CHARACTERS:
                raise ValueError
            return self.parse(given)
        except ValueError:
            shown = given if len(given) <= _MAX_CHARACTERS else given[:_MAX_CHARACTERS] + "..."
            raise UsageError(f"must be {self.expected}, not {shown!r}{self._suggest(given)}") from None

    def _suggest(self, given: str) -> str:
        if self.choices:
            return suggest(given, self.choices)
        if self.units and re.fullmatch(r"\d+(\.\d+)?", given):
            return f"; did you mean {given}{self.units[0]}?"
        found = _QUANTITY.fullmatch(given)
        near = {unit.lower(): unit for unit in self.units}
        if found and found[2] not in self.units and found[2].lower() in near:
            return f"; did you mean {found[1]}{near[found[2].lower()]}?"
        return "."


def duration(least_ms: int = 0) -> Kind:
    """A span of time in whole milliseconds, written with its unit."""
    least = f" of at least {least_ms}ms" if least_ms else ""
    expected = f"a time{least} with its unit (ms, s, min or h), such as 200ms or 10s"
    return Kind(expected, lambda given: _measure(given, _MS, least_ms, _MAX_MS), units=("s", "ms", "min", "h"))


def rate() -> Kind:
    """Bytes per second, written with their unit."""
    expected = "bytes per second with their unit (B/s, kB/s, MB/s or GB/s), such as 5MB/s"
    return Kind(expected, lambda given: _measure(given, _BYTES, 1, 10**15), units=("MB/s", "kB/s", "GB/s", "B/s"))


def share(least: str = "0%", most: str = "100%") -> Kind:
    """A share in percent, kept as a whole number of 1e-6."""
    bounds = [_measure(text, _SHARES, 0, 100 * PPM) for text in (least, most)]
    return Kind(
        f"a share from {least} to {most}, such as 30%", lambda given: _measure(given, _SHARES, *bounds), units=("%",)
    )


def whole(least: int, most: int = 10**9) -> Kind:
    """A whole number from ``least`` to ``most``."""

    def parse(given: str) -> int:
        if not re.fullmatch(r"\d{1,20}", given) or not least <= int(given) <= most:
            raise ValueError
        return int(given)

    return Kind(f"a whole number from {least} to {most}", parse)


def number(least: float = 0.0, *, above: bool = False) -> Kind:
    """A decimal number from ``least`` on, or above it."""

    def parse(given: str) -> float:
        try:
            value = float(Decimal(given))
        except InvalidOperation:
            raise ValueError from None
        if not math.isfinite(value) or value < least or (above and value == least):
            raise ValueError
        return value

    return Kind(f"a number {'above' if above else 'of at least'} {least:g}", parse)


def choice(*names: str) -> Kind:
    """One of a few words."""

    def parse(given: str) -> str:
        if given not in names:
            raise ValueError
        return given

    return Kind(f"one of {', '.join(names)}", parse, choices=names)


def text(expected: str, check: Callable[[str], object] = len) -> Kind:
    """A text that is not empty; ``check`` raises UsageError when it does not hold."""

    def parse(given: str) -> str:
        if not given:
            raise ValueError
        check(given)
        return given

    return Kind(expected, parse)


def _measure(given: str, units: dict[str, int], least: int, most: int) -> int:
    found = _QUANTITY.fullmatch(given)
    if not found or found[2] not in units:
        raise ValueError
    value = Decimal(found[1]) * units[found[2]]
    if value != int(value) or not least <= value <= most:
        raise ValueError
    return int(value)
