"""Opening a run, an export or what ledgers serve, for the commands that look at chains."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from flobc.cli.places import expand_path, find_newest_run
from flobc.errors import UsageError

if TYPE_CHECKING:
    from flobc.adapters.grpc import TlsSettings
    from flobc.composition.archive import ChainArchive

_ADDRESS = r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):\d{1,5}"
_ADDRESSES = re.compile(rf"{_ADDRESS}(,{_ADDRESS})*")


def choose_path(arguments: Namespace) -> Path:
    """Return the run or export that a command is about: PATH, ``--dir`` or the newest run. **Raises** UsageError."""
    given = [item for item in (arguments.path, arguments.dir) if item is not None]
    if len(given) > 1:
        raise UsageError(f"PATH and --dir are the same; give one of {given[0]} and {given[1]}.")
    if not given:
        return find_newest_run()
    if not given[0]:
        raise UsageError("The path of a run must not be empty.")
    return expand_path(given[0])


def read_addresses(arguments: Namespace) -> tuple[str, ...]:
    """Return the ledgers that PATH names as HOST:PORT,HOST:PORT; none when it names a file or nothing."""
    given = arguments.path or ""
    if not hasattr(arguments, "tls_ca") or not _ADDRESSES.fullmatch(given) or Path(given).exists():
        return ()
    return tuple(given.split(","))


def read_tls(arguments: Namespace) -> TlsSettings | None:
    """Return the files of mutual TLS, of the flags or else of the variables that services read; None without any.

    **Raises** UsageError when one of the three is missing.
    """
    from flobc.adapters.grpc import TlsSettings  # noqa: PLC0415 - loads gRPC

    flags = ("--tls-ca", "--tls-certificate", "--tls-key")
    given = [getattr(arguments, flag.lstrip("-").replace("-", "_"), None) for flag in flags]
    if not any(given):
        return _find_tls() if read_addresses(arguments) else None
    if not read_addresses(arguments):
        raise UsageError("--tls-ca, --tls-certificate and --tls-key are for ledgers; give their address as HOST:PORT.")
    for flag, path in zip(flags, given, strict=True):
        if not path:
            raise UsageError(f"{flag} is missing; TLS with a ledger needs authority, certificate and key.")
    return TlsSettings(*(expand_path(path) for path in given if path))


def _find_tls() -> TlsSettings | None:
    from flobc.composition.services.connections import find_tls  # noqa: PLC0415 - loads every client library

    return find_tls()


def open_chain(arguments: Namespace) -> ChainArchive:
    """Open the chain that a command is about. **Raises** UsageError, DataError, TransientError."""
    from flobc.composition.archive import open_archive  # noqa: PLC0415 - loads the whole library

    tls, addresses = read_tls(arguments), read_addresses(arguments)
    if addresses:
        from flobc.composition.archive.ledger import LedgerArchive  # noqa: PLC0415 - loads gRPC

        choose_path(arguments)
        return LedgerArchive(addresses, tls)
    return open_archive(choose_path(arguments))


def require_height(value: int, flag: str, height: int) -> int:
    """Return a block's height if the chain has it. **Raises** UsageError."""
    if not 1 <= value <= height:
        found = f"the blocks 1 to {height}" if height else "no blocks yet"
        raise UsageError(f"{flag} {value} is not in this chain, which has {found}.")
    return value
