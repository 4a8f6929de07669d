"""A pod beside a release that counts what becomes of its updates, whatever happens to the release meanwhile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flobc import __version__
from tests.support.cluster.release import Release

NAME = "census"
LABELS = {"flobc-test": NAME}
PEERS = {"networkPolicy": {"peers": [{"podSelector": {"matchLabels": LABELS}}]}}
"""Values by which the pod may ask ledgers and Kafka, where policies are enforced."""
_PROGRAM = Path(__file__).with_name("census.py")


class Counting:
    """The pod; no label of the release is on it, so that nobody takes it for one of its own."""

    def __init__(self, release: Release, folder: Path) -> None:
        self._release = release
        release.kubectl("create", "configmap", NAME, f"--from-file={_PROGRAM}")
        host, zone = release.name, f"{release.namespace}.svc"
        command = ["python", f"/program/{_PROGRAM.name}", "/chain/genesis"]
        command += [f"{host}-ledger.{zone}:7000", f"{host}-kafka.{zone}:9092"]
        mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("program", "chain")]
        container = {"name": NAME, "image": f"flobc-ledger:{__version__}", "command": command, "volumeMounts": mounts}
        maps = {"program": NAME, "chain": f"{release.name}-chain"}
        volumes = [{"name": name, "configMap": {"name": found}} for name, found in maps.items()]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME, "labels": LABELS},
            "spec": {"restartPolicy": "Never", "containers": [container], "volumes": volumes},
        }
        file = folder / "census.json"
        file.write_text(json.dumps(pod))
        release.kubectl("create", "--filename", str(file))

    def check(self, what: str) -> dict[str, Any]:
        """Nothing is lost or decided twice up to a block that is made from now on; printed and returned."""
        height = max(self._release.read_height(), 0) + 1
        self._release.wait_until(f"a census at block {height}", lambda: self._read().get("height", 0) >= height)
        found = self._read()
        print(f"\n  {what}: {json.dumps(found)}", end="", flush=True)
        assert found["updates"] > 0
        assert found.get("lost", 0) == 0, found
        return found

    def _read(self) -> dict[str, Any]:
        """The newest count; a pod that ended found something, and says what."""
        said = self._release.kubectl("logs", NAME, "--tail=20", check=False)
        phase = self._release.kubectl("get", "pod", NAME, "--output", "jsonpath={.status.phase}")
        assert phase in ("Pending", "Running"), said
        lines = [line for line in said.splitlines() if line.startswith("{")]
        found: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return found
