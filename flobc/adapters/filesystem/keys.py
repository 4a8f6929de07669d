"""A node's secret key as a file of one line that only its owner may read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from flobc.errors import DataError, UsageError
from flobc.protocol.identity import SEED_BYTES, Identity

_PREFIX = "flobc-ed25519-seed:"
_LENGTH = len(_PREFIX) + 2 * SEED_BYTES
_OWNER_ONLY = 0o600


def create_key_file(path: Path) -> Identity:
    """Draw a new key, write it to ``path`` with mode 0600 and return its identity.

    **Raises** UsageError when something is there already, DataError when the file cannot be written.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    create_private_file(path, "key", f"{_PREFIX}{seed.hex()}\n")
    return Identity.from_seed(seed)


def create_private_file(path: Path, what: str, text: str) -> None:
    """Write ``text`` to a new file of mode 0600; ``what`` names it in messages.

    **Raises** UsageError when something is there already, DataError when the file cannot be written.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _OWNER_ONLY)
    except FileExistsError as error:
        article = "an" if what[0] in "aeiou" else "a"
        raise UsageError(
            f"{path} exists already and {article} {what} is never overwritten; choose another file."
        ) from error
    except OSError as error:
        raise DataError(f"Cannot write the {what} file {path}: {error.strerror}; choose another place.") from error
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), _OWNER_ONLY)  # whatever the umask took away
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise DataError(f"Cannot write the {what} file {path}: {error.strerror}; is the disk full?") from error


def load_key_file(path: Path) -> Identity:
    """Return the identity of a key file. What is in the file is never part of a message.

    **Raises** DataError when it is missing, unreadable or not a key file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LENGTH + 3)
    except FileNotFoundError as error:
        raise DataError(f"There is no key file {path}; make one with: flobc keys new {path}") from error
    except OSError as error:
        raise DataError(f"Cannot read the key file {path}: {error.strerror}; check its permissions.") from error
    line = content.decode("ascii", errors="replace").strip()
    if not line.startswith(_PREFIX):
        raise DataError(f"{path} is not a key file: expected a line that begins with {_PREFIX!r}; check the path.")
    digits = line.removeprefix(_PREFIX)
    try:
        seed = bytes.fromhex(digits)
    except ValueError:
        seed = b""
    if len(digits) != 2 * SEED_BYTES or len(seed) != SEED_BYTES:
        raise DataError(
            f"The key file {path} is damaged: expected {2 * SEED_BYTES} hex digits, found {len(digits)} characters "
            "that are not; restore it from a copy."
        )
    return Identity.from_seed(seed)


def is_private(path: Path) -> bool:
    """Return whether nobody but its owner may read or write the file."""
    return not stat.S_IMODE(path.stat().st_mode) & 0o077
