"""The cluster that all tests of this folder share; without one each is skipped with the same line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster.cluster import Cluster, find_lack, start_cluster, stop_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    lack = find_lack()
    if lack:
        print(f"\nskipped, for there is no cluster: {lack}")  # once for all tests
        pytest.skip(f"no cluster: {lack}")
    running = start_cluster()
    try:
        yield running
    finally:
        stop_cluster(running)
