"""How the address of a Redis server is read, and what of it is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flobc.adapters.redis import RedisSettings
from flobc.errors import UsageError


@pytest.mark.parametrize(
    ("url", "address", "user", "password", "database", "tls"),
    [
        ("localhost", "localhost:6379", None, None, 0, False),
        ("localhost:7000", "localhost:7000", None, None, 0, False),
        ("redis://h", "h:6379", None, None, 0, False),
        ("redis://:p%40ss@h:1/2", "h:1", None, "p@ss", 2, False),
        ("rediss://ledger:secret@h:1/", "h:1", "ledger", "secret", 0, True),
        ("redis://[::1]:7000", "[::1]:7000", None, None, 0, False),
    ],
)
def test_forms_of_an_address(
    url: str, address: str, user: str | None, password: str | None, database: int, tls: bool
) -> None:
    settings = RedisSettings.from_url(url, "chain")
    assert (settings.address, settings.user, settings.password) == (address, user, password)
    assert (settings.database, settings.tls, settings.prefix) == (database, tls, "chain")


@pytest.mark.parametrize(
    "url", ["", "http://:secret@h", "redis://:secret@h:port", "redis://:secret@h/x", "redis://:secret@[h"]
)
def test_invalid_address_is_not_repeated(url: str) -> None:
    """A password may be in it, and messages end in logs."""
    with pytest.raises(UsageError, match="not of the form") as caught:
        RedisSettings.from_url(url, "chain")
    assert "secret" not in str(caught.value)


def test_a_password_is_not_shown() -> None:
    settings = RedisSettings.from_url("redis://ledger:secret@h", "chain")
    assert "secret" not in repr(settings)
    assert "ledger" in repr(settings)


def test_invalid_settings(tmp_path: Path) -> None:
    present = tmp_path / "certificate"
    present.touch()
    with pytest.raises(UsageError, match="prefix"):
        RedisSettings("")
    with pytest.raises(UsageError, match="give both"):
        RedisSettings("chain", tls_certificate=present)
    with pytest.raises(UsageError, match="absent"):
        RedisSettings("chain", tls_ca=tmp_path / "absent")


def test_the_ledgers_store_needs_no_torch() -> None:
    code = "import sys, flobc.adapters.redis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
