"""One small chain for all tests that verify it."""

from pathlib import Path

import pytest

from tests.support.small_chain import build_chain


@pytest.fixture(scope="session")
def small_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three blocks; copy it before changing anything."""
    return build_chain(tmp_path_factory.mktemp("chain") / "run")
