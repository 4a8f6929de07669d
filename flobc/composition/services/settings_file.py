"""A file of settings, lines NAME=VALUE: which one is meant, and whether every line of it is one."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from flobc.errors import UsageError
from flobc.learning.suggest import suggest

FILE_OPTION = "--settings"
FILE_VARIABLE = "FLOBC_SETTINGS"
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")


def find_settings_file(arguments: Sequence[str]) -> Path | None:
    """Return the file that ``--settings PATH`` or FLOBC_SETTINGS names; None when there is none.

    Arguments of any other form name none either.
    """
    if not arguments:
        given = os.environ.get(FILE_VARIABLE, "")
    elif len(arguments) == 1:
        given = arguments[0].removeprefix(f"{FILE_OPTION}=") if arguments[0].startswith(f"{FILE_OPTION}=") else ""
    else:
        given = arguments[1] if arguments[0] == FILE_OPTION and len(arguments) == 2 else ""
    return Path(given) if given else None


def validate_settings_file(path: Path, known: Collection[str]) -> None:
    """Check that every line sets one of the ``known`` variables: a mistyped one would else be as good as not there.

    **Raises** UsageError that names the line, without what stands in it, for that may be a password.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"The settings file {path} cannot be read ({reason}); correct its path.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(line.strip())
        if found is None:
            raise UsageError(f"Line {number} of the settings file {path} is not of the form NAME=VALUE; correct it.")
        if found[1].upper() not in known:
            near = suggest(found[1].upper(), sorted(known))
            raise UsageError(f"Line {number} of {path} sets {found[1]}, which is no setting of a service{near}")
