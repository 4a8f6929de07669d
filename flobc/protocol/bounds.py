"""What consensus parameters and messages may hold, and the checks of it."""

from __future__ import annotations

from typing import Literal, get_args

from flobc.errors import UsageError

PPM = 1_000_000
CodecName = Literal["float32", "int16", "int8"]
CODECS: tuple[CodecName, ...] = get_args(CodecName)


def require_int(name: str, value: int, low: int, high: int, meaning: str) -> None:
    """Check that a consensus parameter is an integer in [low, high].

    **Raises** UsageError naming the parameter, its meaning, the range and the value found.
    """
    # bool and float pass an isinstance or comparison check, but encode and compute differently.
    if type(value) is not int or not low <= value <= high:
        raise UsageError(f"{name} ({meaning}) must be an integer from {low} to {high}, found {value!r}")


def require_bool(name: str, value: bool, meaning: str) -> None:
    """Check that a consensus parameter is True or False. **Raises** UsageError."""
    if type(value) is not bool:
        raise UsageError(f"{name} ({meaning}) must be true or false, found {value!r}")


def require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that a consensus parameter is one of the known words. **Raises** UsageError."""
    if value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}, found {value!r}")
