"""Where an export goes: never over something by accident, and with one sentence when it cannot go there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flobc.errors import UsageError


def require_free(out: Path, force: bool) -> None:
    """Check that an export may be written to ``out``. **Raises** UsageError."""
    if out.is_dir():
        raise UsageError(f"{out} is a directory; name a file in it.")
    if out.exists() and not out.is_file():
        raise UsageError(f"{out} is no file that could be replaced; choose another name.")
    if out.exists() and not force:
        raise UsageError(f"{out} exists already; choose another name, or overwrite it with --force.")


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Turn what the system says while ``out`` is written into one sentence. **Raises** UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror or error}); choose another place.") from error
