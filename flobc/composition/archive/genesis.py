"""Is a stored genesis one that a chain can be folded from?"""

from __future__ import annotations

from flobc.errors import DataError, UsageError
from flobc.protocol.params import Genesis, validate_genesis


def require_usable(genesis: Genesis, name: str) -> Genesis:
    """Return ``genesis``. **Raises** DataError, naming the archive, when it breaks a rule on genesis."""
    try:
        validate_genesis(genesis)
    except UsageError as error:
        raise DataError(f"The genesis in {name} is damaged ({error}); restore it from a copy or an export.") from error
    return genesis
