"""The explorer service: shows a chain as web pages, from what ledgers serve."""

from __future__ import annotations

import logging

from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.serving import WebServer
from flobc.composition.explorer.sources import LedgerSource
from flobc.composition.services.connections import build_tls
from flobc.composition.services.parts import Loop, load_genesis_file
from flobc.composition.services.settings import ExplorerSettings, split_addresses

logger = logging.getLogger(__name__)


def run_explorer(settings: ExplorerSettings, loop: Loop) -> None:
    """Be an explorer until the loop is stopped. **Raises** FlobcError when going on makes no sense."""
    files = settings.get_web_files()
    genesis = load_genesis_file(settings.genesis)
    source = LedgerSource(split_addresses(settings.ledgers), build_tls(settings), genesis)
    server = WebServer(Explorer(source, True, settings.data, loop.metrics), files)
    try:
        logger.info("serving the explorer on %s", server.start(settings.listen))
        loop.run()
    finally:
        server.stop()
