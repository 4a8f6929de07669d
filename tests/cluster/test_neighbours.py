"""Releases beside each other: in one namespace and in two, and each of both Helms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster.cluster import Cluster
from tests.support.cluster.release import PATIENCE_S, Release

NAMESPACES = ("flobc-one", "flobc-two")
SMALL = {"validators": {"replicas": 1}, "trainers": {"replicas": 1}, "chain": {"options": ["--period", "5"]}}


@pytest.fixture
def namespaces(cluster: Cluster) -> Iterator[tuple[str, str]]:
    yield NAMESPACES
    for namespace in NAMESPACES:
        cluster.kubectl("delete", "namespace", namespace, "--ignore-not-found", timeout_s=PATIENCE_S)


def test_releases_in_one_namespace_and_in_two_do_not_touch_each_other(
    cluster: Cluster, namespaces: tuple[str, str], tmp_path: Path
) -> None:
    one, two = namespaces
    releases = [Release(cluster, one, "north"), Release(cluster, one, "south"), Release(cluster, two, "north")]
    for release in releases:
        release.install(tmp_path, SMALL)
    for release in releases:
        release.wait_until("the first block", lambda release=release: release.read_height() >= 1)
    chains = {release: release.verify()["chain"] for release in releases}
    assert len(set(chains.values())) == len(releases)
    for release in releases:
        named = {thing["metadata"]["name"] for thing in release.list_objects("configmaps", "secrets", "services")}
        assert named
        assert all(name.startswith(f"{release.name}-") for name in named)

    releases[1].uninstall()
    releases[1].kubectl("delete", "configmap,secret,pvc", "--selector", "app.kubernetes.io/instance=south")
    for release in (releases[0], releases[2]):
        release.wait_for_blocks()
        assert release.verify()["chain"] == chains[release]


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_number_set_through_the_api_outlives_upgrade_and_rollback(
    cluster: Cluster, namespaces: tuple[str, str], tmp_path: Path, helm: str
) -> None:
    if helm not in cluster.helms:
        pytest.skip(f"this cluster is used with {', '.join(cluster.helms)} alone")
    release = Release(cluster, namespaces[0], "scaled", helm)
    values = {**SMALL, "scaling": "external", "trainers": {"initialReplicas": 1}}
    release.install(tmp_path, values)
    release.wait_until("the first scale", lambda: release.get_replicas("trainer") == 1)
    release.scale_trainers(2)
    release.upgrade(tmp_path, {**values, "logLevel": "DEBUG"})
    assert release.get_replicas("trainer") == 2
    release.rollback(1)
    assert release.get_replicas("trainer") == 2
    release.wait_for_pods("trainer", 2)
