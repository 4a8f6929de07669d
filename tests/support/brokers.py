"""A real Kafka for tests: one for all of a run's processes, started by the first that needs it, stopped by the last."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flobc.composition.local.kafka import LocalKafka, start_kafka
from flobc.composition.local.process import DetachedProcess
from flobc.errors import UsageError

ADDRESS_VARIABLE = "FLOBC_TEST_KAFKA"
"""Names a Kafka that is there already, host:port, to run the tests on; they make topics of their own."""


def start_or_skip(directory: Path) -> LocalKafka:
    """A broker of a test's own, which it may kill."""
    try:
        return start_kafka(directory)
    except UsageError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kafka_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Kafka that all tests share."""
    given = os.environ.get(ADDRESS_VARIABLE)
    if given:
        yield given
        return
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-kafka"
    folder.mkdir(exist_ok=True)
    users = folder / "users"
    with locked(folder):
        address = (folder / "address").read_text() if DetachedProcess("Kafka", folder / "pid", folder).pid else ""
        if not address:
            address = start_or_skip(folder).address
            (folder / "address").write_text(address)
            users.write_text("")
        users.write_text(users.read_text() + "x")
    yield address
    with locked(folder):
        users.write_text(users.read_text()[1:])
        if not users.read_text():
            DetachedProcess("Kafka", folder / "pid", folder).stop(30)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
