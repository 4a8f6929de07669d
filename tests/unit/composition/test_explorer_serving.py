"""How an explorer is served: settings, HTTPS, mutual TLS with ledgers, and ports that cannot be had."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx
import pytest

from flobc.adapters.grpc import LedgerServer
from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.listening import open_listener
from flobc.composition.explorer.serving import WebServer
from flobc.composition.explorer.sources import LedgerSource
from flobc.composition.services.settings import ExplorerSettings, load_settings
from flobc.errors import UsageError
from tests.support.certificates import build_authority, build_tls
from tests.support.explored import ExploredChain, explored


def test_everything_goes_over_tls_when_it_is_told_to(tmp_path: Path) -> None:
    world = ExploredChain()
    world.grow(2)
    ca = build_authority(tmp_path / "ca")
    files = build_tls(ca, "localhost")
    ledger = LedgerServer(world.chain.genesis, world.blocks, world.states, world.models, files)
    address = ledger.start("localhost:0")
    server = WebServer(
        Explorer(LedgerSource([address], files, world.chain.genesis), True), (files.certificate, files.key)
    )
    try:
        pages = server.start("localhost:0")
        assert pages.startswith("https://")
        with httpx.Client(verify=ssl.create_default_context(cafile=str(ca)), base_url=pages) as client:
            while client.get("/readyz").status_code != 200:
                pass
            assert "BROKEN" not in client.get("/blocks/2").text
            assert client.get("/models/2.json").json()["height"] == 2
    finally:
        server.stop()
        ledger.stop(0)


def test_what_cannot_be_served_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="choose another HOST:PORT"):
        open_listener(f"127.0.0.1:{taken.getsockname()[1]}")
    for address in ("127.0.0.1", "127.0.0.1:web", "127.0.0.1:99999"):
        with pytest.raises(UsageError, match="choose another HOST:PORT"):
            open_listener(address)
    with explored(0) as viewer, pytest.raises(UsageError, match="FLOBC_WEB_CERTIFICATE"):
        WebServer(viewer.explorer, (tmp_path / "none.pem", tmp_path / "none.key")).start("127.0.0.1:0")


def test_certificate_and_key_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOBC_GENESIS", "genesis")
    monkeypatch.setenv("FLOBC_LEDGERS", "ledger:7100")
    assert load_settings(ExplorerSettings).get_web_files() is None
    monkeypatch.setenv("FLOBC_WEB_CERTIFICATE", "web.pem")
    with pytest.raises(UsageError, match="give both, or neither"):
        load_settings(ExplorerSettings).get_web_files()
    monkeypatch.setenv("FLOBC_WEB_KEY", "web.key")
    assert load_settings(ExplorerSettings).get_web_files() == (Path("web.pem"), Path("web.key"))
