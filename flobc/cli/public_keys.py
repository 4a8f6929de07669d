"""Public keys on the command line: 64 hex digits, or a file that holds them."""

from __future__ import annotations

from flobc.cli.kinds import Kind
from flobc.cli.places import expand_path
from flobc.errors import UsageError

_DIGITS = 64
_MAX_BYTES = 4_096


def read_public_key(flag: str, given: str) -> bytes:
    """Return the key that ``given`` is or whose file it names. **Raises** UsageError, also for a secret key's file."""
    path = expand_path(given) if given else None
    if path is None or not path.is_file():
        return bytes(_DIGITS_KIND.read(flag, given))
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode(errors="replace").strip()
    if text.startswith("flobc-ed25519-seed:"):
        raise UsageError(
            f"{path} is a secret key, which is nobody else's to see; {flag} takes its public half, printed by: "
            f"flobc keys show {path}"
        )
    try:
        return _parse(text)
    except ValueError:
        raise UsageError(f"{path} holds no public key; write one there with: flobc keys show KEY > {path}") from None


def _parse(given: str) -> bytes:
    if len(given) != _DIGITS or not given.isascii():
        raise ValueError
    return bytes.fromhex(given)


_DIGITS_KIND = Kind("KEY", "a public key of 64 hex digits or a file that holds one", _parse)
