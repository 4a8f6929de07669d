"""``flobc load`` against a release: every step through Kubernetes' API, and all as before in the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.cli.main import main
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.release import PATIENCE_S, Release

pytest.importorskip("matplotlib", reason="a report needs matplotlib")

NAMESPACE = "flobc-load"
BEFORE = 1
PLAN = f"""\
name: Two mixes on a cluster
steps:
  - {{trainers: 1, validators: 1}}
  - {{trainers: 2, validators: 1}}
repeats: 1
warm_up: {{rounds: 1}}
measure: {{rounds: 3}}
drain: {{quiet_s: 5, timeout_s: {PATIENCE_S:.0f}}}
ready_timeout_s: {PATIENCE_S:.0f}
"""
VALUES = {
    "scaling": "external",
    "validators": {"replicas": 1},
    "trainers": {"initialReplicas": BEFORE},
    "explorer": {"enabled": False},
    "chain": {
        "task": "synthetic:parameters=1000,training_ms=300,scoring_ms=50",
        "options": ["--sync", "bap", "--period", "5"],
    },
}


@pytest.fixture
def release(cluster: Cluster, tmp_path: Path) -> Iterator[Release]:
    lab = Release(cluster, NAMESPACE, "lab")
    lab.install(tmp_path, VALUES)
    lab.wait_until("the first block", lambda: lab.read_height() >= 1)
    yield lab
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout_s=PATIENCE_S)


def test_a_plan_is_measured_through_the_api_and_the_release_restored(release: Release, tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.yaml", tmp_path / "report"
    plan.write_text(PLAN)
    where = ["--release", release.release, "--namespace", NAMESPACE, "--kubeconfig", str(release.cluster.kubeconfig)]
    assert main(["load", str(plan), "--output", str(out), *where, "--quiet"]) == 0
    found = [json.loads(line) for line in (out / "measurements.jsonl").read_text().splitlines()]
    steps = [line for line in found if "trainers" in line]
    assert [(each["trainers"], each["validators"]) for each in steps] == [(1, 1), (2, 1)]
    for each in steps:
        assert each["decided"] >= 3
        assert "verified" in each["checks"]["chain"]
        print(
            f"\n  {each['trainers']}:1, {each['decided']} updates in {each['seconds']:.0f} s; {each['checks']}", end=""
        )
    assert (out / "report.md").is_file()
    assert release.get_replicas("trainer") == BEFORE
    release.wait_for_pods("trainer", BEFORE)
    release.wait_for_blocks()
