"""Kinds of option values: how a text becomes a value, and how the value is shown again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from flobc.cli.places import expand_path
from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.protocol.sync.params import UNBOUNDED_STALENESS

Number = TypeVar("Number", int, Decimal)


@dataclass(frozen=True)
class Kind:
    """What an option takes: ``parse`` raises ValueError when the text is not ``expected``."""

    metavar: str
    expected: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str] = str
    choices: tuple[str, ...] = ()

    def read(self, flag: str, given: str) -> Any:
        """Return the value of ``given``. **Raises** UsageError naming the option, what it takes and what it got."""
        try:
            return self.parse(given)
        except ValueError:
            near = suggest(given, self.choices) if self.choices else "."
            raise UsageError(f"{flag} must be {self.expected}, not {given!r}{near}") from None


def whole(least: int, most: int = 10**9) -> Kind:
    """A whole number from ``least`` to ``most``."""

    def parse(given: str) -> int:
        value = int(given) if given.isascii() and len(given) < 30 else least - 1
        return _within(value, least, most)

    return Kind("N", f"a whole number from {least} to {most}", parse)


def seed() -> Kind:
    """A seed: any whole number that a chain's genesis can hold."""
    return Kind("N", "a whole number from 0 to 2^63 - 1", whole(0, 2**63 - 1).parse)


def heights() -> Kind:
    """A number of heights, or ``unbounded``."""

    def parse(given: str) -> int:
        return UNBOUNDED_STALENESS if given == "unbounded" else whole(0, UNBOUNDED_STALENESS).parse(given)

    return Kind(
        "N",
        "a whole number or unbounded",
        parse,
        lambda value: "unbounded" if value == UNBOUNDED_STALENESS else str(value),
    )


def scaled(scale: int, least: str, most: str, metavar: str = "X") -> Kind:
    """A decimal number from ``least`` to ``most``, kept as a whole number of 1 / ``scale``."""

    def parse(given: str) -> int:
        value = _parse_decimal(given)
        return int(_within(value, Decimal(least), Decimal(most)) * scale)

    return Kind(metavar, f"a number from {least} to {most}", parse, lambda value: f"{value / scale:g}")


def number(*, zero: bool) -> Kind:
    """A finite decimal number above 0, or from 0 on."""

    def parse(given: str) -> float:
        value = float(_parse_decimal(given))
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            raise ValueError
        return value

    return Kind("X", "a number of at least 0" if zero else "a number above 0", parse, lambda value: f"{value:g}")


def choice(*names: str) -> Kind:
    """One of a few words."""

    def parse(given: str) -> str:
        if given not in names:
            raise ValueError
        return given

    return Kind("|".join(names), f"one of {', '.join(names)}", parse, choices=names)


def text(metavar: str, check: Callable[[str], object] = len) -> Kind:
    """A text that is not empty; ``check`` raises UsageError when it does not hold."""

    def parse(given: str) -> str:
        if not given:
            raise ValueError
        check(given)
        return given

    return Kind(metavar, f"a {metavar.lower()}", parse)


def digest() -> Kind:
    """A SHA-256 digest in hex."""

    def parse(given: str) -> bytes:
        value = bytes.fromhex(given)
        if len(value) != 32:
            raise ValueError
        return value

    return Kind("DIGEST", "64 hex digits", parse, bytes.hex)


def path() -> Kind:
    """A path; ``~`` is the person's home."""

    def parse(given: str) -> Path:
        if not given:
            raise ValueError
        try:
            return expand_path(given)
        except UsageError as error:  # ``read`` says it with the option's name
            raise ValueError from error

    return Kind("PATH", "a path", parse, lambda value: "none" if value is None else str(value))


def _parse_decimal(given: str) -> Decimal:
    try:
        value = Decimal(given)
    except InvalidOperation:
        raise ValueError from None
    if not value.is_finite():
        raise ValueError
    return value


def _within(value: Number, least: Number, most: Number) -> Number:
    if not least <= value <= most:
        raise ValueError
    return value
