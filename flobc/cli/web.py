"""``flobc explorer`` and ``flobc run --web``: a chain as web pages, until Ctrl-C."""

from __future__ import annotations

import importlib.util
import sys
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flobc.cli import kinds
from flobc.cli.archives import choose_path, read_addresses, read_tls
from flobc.cli.output import Talk, print_json
from flobc.composition.local.plan import is_system_directory, load_plan
from flobc.composition.run_directory import load_genesis
from flobc.errors import UsageError

if TYPE_CHECKING:
    from flobc.composition.explorer.beside import ExplorerBeside
    from flobc.composition.explorer.sources import ChainSource

NEEDED = ("jinja2", "starlette", "uvicorn")
DEFAULT_PORT = "8080"


def execute(arguments: Namespace) -> int:
    """Serve pages until Ctrl-C."""
    require_web()
    if arguments.ledger is not None:
        if arguments.path is not None or arguments.dir is not None:
            raise UsageError("--ledger, --dir and PATH are the same; give one of them.")
        arguments.path = arguments.ledger
        if not read_addresses(arguments):
            raise UsageError(f"--ledger {arguments.ledger!r} is no address; write HOST:PORT,HOST:PORT.")
    port = int(kinds.whole(0, 65_535).read("--port", arguments.port))
    source, is_trusted = open_source(arguments)
    from flobc.composition.explorer.explorer import Explorer  # noqa: PLC0415 - loads the web's libraries
    from flobc.composition.explorer.serving import WebServer  # noqa: PLC0415

    server = WebServer(Explorer(source, is_trusted))
    try:
        address = server.start(f"{arguments.host}:{port}")
        if arguments.json:
            print_json({"address": address, "source": source.name})
        else:
            print(f"See {source.name} in a browser: {address}", flush=True)
        Talk(arguments.quiet).say("Ctrl-C stops it.")
        threading.Event().wait()
    finally:
        server.stop()
    return 0


def open_source(arguments: Namespace) -> tuple[ChainSource, bool]:
    """Return what the arguments name, and whether its genesis is known otherwise than from ledgers.

    **Raises** UsageError, DataError, TransientError.
    """
    from flobc.cli.joining import read_genesis  # noqa: PLC0415 - loads the whole library
    from flobc.composition.explorer.sources import DirectorySource, LedgerSource  # noqa: PLC0415

    addresses, tls = read_addresses(arguments), read_tls(arguments)
    if addresses:
        choose_path(arguments)
        given = arguments.genesis
        genesis = None if given is None else read_genesis(given)
        return LedgerSource(addresses, tls, genesis), genesis is not None
    if arguments.genesis is not None:
        raise UsageError("--genesis goes with ledgers; a directory or an export has its own.")
    path = choose_path(arguments)
    if is_system_directory(path):
        return LedgerSource(load_plan(path).ledgers, None, load_genesis(path)), True
    return DirectorySource(path), True


def is_web_installed() -> bool:
    """Return whether the libraries of the extra ``explorer`` are there."""
    return all(importlib.util.find_spec(name) is not None for name in NEEDED)


def require_web() -> None:
    """**Raises** UsageError when the libraries of the extra ``explorer`` are missing."""
    if not is_web_installed():
        raise UsageError("The explorer's libraries are not installed; install them with: pip install 'flobc[explorer]'")


class RunPages:
    """The web pages of one run, or none, where nobody asked for them."""

    def __init__(self, explorer: ExplorerBeside | None, stays: bool, talk: Talk) -> None:
        self._explorer, self._stays, self._talk = explorer, stays, talk

    def start(self, root: Path) -> None:
        """Show the run that is or will be in this directory."""
        if self._explorer is not None:
            self._explorer.start(root)
            self._talk.say(f"See the run in a browser: {self._explorer.address}")

    def stay(self) -> None:
        """Keep the pages until Ctrl-C, where somebody is there to press it; the run is over and well."""
        if self._explorer is None or not self._stays:
            return
        self._talk.say(f"The run has ended; its pages stay at {self._explorer.address} until Ctrl-C.")
        try:
            self._explorer.wait()
        except KeyboardInterrupt:
            return


@contextmanager
def open_run_pages(arguments: Namespace, talk: Talk) -> Iterator[RunPages]:
    """Yield the pages that ``flobc run`` was asked for, their port already taken; they end with the block.

    **Raises** UsageError when the port or the libraries cannot be had.
    """
    if not arguments.web:
        if arguments.web_port is not None or arguments.no_wait:
            raise UsageError("--web-port and --no-wait go with --web; add it or leave them out.")
        yield RunPages(None, stays=False, talk=talk)
        return
    require_web()
    port = int(kinds.whole(0, 65_535).read("--web-port", arguments.web_port or DEFAULT_PORT))
    from flobc.composition.explorer.beside import ExplorerBeside  # noqa: PLC0415 - loads the whole library

    explorer = ExplorerBeside(port)
    try:
        yield RunPages(explorer, stays=not arguments.no_wait and is_attended(), talk=talk)
    finally:
        explorer.stop()


def is_attended() -> bool:
    """Return whether somebody sits at a terminal: a script's command must end by itself."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
