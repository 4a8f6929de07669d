"""A release of the chart on a real cluster that tests may hurt, and see what becomes of its chain."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flobc.adapters.grpc import LedgerClient, Patience
from flobc.errors import TransientError
from flobc.protocol.chain.block import Block
from tests.support.cluster.cluster import VALUES_VARIABLE, Cluster
from tests.support.cluster.engine import ROOT

CHART = ROOT / "charts" / "flobc"
PATIENCE_S = 600.0
"""For what must happen; a busy machine is not a failing test."""
POLL_S = 0.2
MOVING_BLOCKS = 3
"""So many more blocks show that the chain has not merely finished what was under way."""
_FORWARD = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
_PATIENCE = Patience(retry_s=2)


class Release:
    """``helm install NAME`` in a namespace; ``name`` is also what its objects' names begin with."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, helm: str = "") -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.release = name
        self.name = name if "flobc" in name else f"{name}-flobc"
        self._helm = helm
        self._in = ("--namespace", namespace)

    def install(self, folder: Path, values: dict[str, Any]) -> None:
        """Install and return when Helm does, which waits for nothing."""
        self._run_helm(folder, values, "install", "--create-namespace")

    def upgrade(self, folder: Path, values: dict[str, Any], *options: str) -> None:
        self._run_helm(folder, values, "upgrade", *options)

    def rollback(self, revision: int) -> None:
        self.cluster.helm("rollback", self.release, str(revision), *self._in, program=self._helm)

    def test(self) -> str:
        """``helm test`` with what its pods said. **Raises** RuntimeError with all of that when it fails."""
        return self.cluster.helm("test", self.release, *self._in, "--logs", "--timeout", "5m", program=self._helm)

    def uninstall(self) -> str:
        return self.cluster.helm("uninstall", self.release, *self._in, program=self._helm)

    def kubectl(self, *arguments: str, timeout_s: float = 120, check: bool = True) -> str:
        return self.cluster.kubectl(*self._in, *arguments, timeout_s=timeout_s, check=check)

    def list_objects(self, *kinds: str) -> list[dict[str, Any]]:
        """The release's objects of these kinds, by its label."""
        asked = (",".join(kinds), *self._in, "--selector", f"app.kubernetes.io/instance={self.release}")
        found: list[dict[str, Any]] = self.cluster.read(*asked)["items"]
        return found

    def list_ready(self, role: str) -> dict[str, str]:
        """The role's pods that are ready and not about to end, by name, with their numbers."""
        return {
            pod["metadata"]["name"]: pod["metadata"]["uid"]
            for pod in self.list_objects("pods")
            if pod["metadata"]["labels"].get("app.kubernetes.io/component") == role
            and "deletionTimestamp" not in pod["metadata"]
            and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
        }

    def get_replicas(self, role: str) -> int:
        found: int = self.cluster.read(f"statefulset/{self.name}-{role}", *self._in)["spec"]["replicas"]
        return found

    def scale_trainers(self, count: int) -> None:
        """Change the number through the API alone, as an operator or an autoscaler does."""
        self.scale("trainer", count)

    def scale(self, role: str, count: int) -> None:
        """Change a role's number through the API alone."""
        self.kubectl("scale", f"statefulset/{self.name}-{role}", f"--replicas={count}")

    def kill(self, pod: str) -> None:
        """End a pod at once, with no time to say good-bye."""
        self.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")

    def wait_until(self, what: str, is_so: Callable[[], bool], timeout_s: float = PATIENCE_S) -> float:
        """Wait for a condition and return how long it took in seconds; fails with what the cluster says of itself."""
        start_s = time.monotonic()
        while not is_so():
            if time.monotonic() - start_s > timeout_s:
                pytest.fail(f"{what}: not after {timeout_s:.0f} s\n{self.describe()}")
            time.sleep(POLL_S)
        return time.monotonic() - start_s

    def wait_for_pods(self, role: str, count: int) -> float:
        return self.wait_until(f"{count} {role} pods ready", lambda: len(self.list_ready(role)) == count)

    def wait_for_blocks(self, count: int = MOVING_BLOCKS, timeout_s: float = PATIENCE_S) -> float:
        """Wait until so many more blocks are there than now, and return how long it took in seconds."""
        height = max(self.read_height(), 0)
        return self.wait_until(f"block {height + count}", lambda: self.read_height() >= height + count, timeout_s)

    def read_height(self) -> int:
        """The height that the release's ledgers tell; -1 while none does."""
        try:
            head = self.ask(LedgerClient.get_head)
        except (TransientError, RuntimeError):
            return -1
        return 0 if head is None else head.height

    def list_trainers(self, height: int) -> set[bytes]:
        """Who has updates among those that a block decided."""
        block: Block | None = self.ask(lambda client: client.get_block(height))
        return set() if block is None else {header.trainer for header in block.body.headers}

    def ask(self, question: Callable[[LedgerClient], Any]) -> Any:
        """Ask one ledger. **Raises** TransientError or RuntimeError when none answers."""
        with self.forward_ledger() as address, contextlib.closing(LedgerClient((address,), None, _PATIENCE)) as client:
            return question(client)

    @contextmanager
    def forward_ledger(self) -> Iterator[str]:
        """A ledger's address on this machine. **Raises** RuntimeError when no ledger's pod runs."""
        command = [*self.cluster.build_kubectl(), *self._in, "port-forward", f"service/{self.name}-ledger", ":7000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                found = _FORWARD.search(process.stdout.readline())
                if found is None:
                    raise RuntimeError(f"no ledger of {self.release} can be asked")
                yield f"127.0.0.1:{found[1]}"
            finally:
                process.kill()

    def read_entry(self, config_map: str, entry: str) -> bytes:
        """What a ConfigMap holds under a name."""
        found = self.cluster.read(f"configmap/{config_map}", *self._in)
        return base64.b64decode(found["binaryData"][entry])

    def verify(self, *options: str) -> dict[str, Any]:
        """What ``flobc verify`` says of the chain; a chain that does not hold is a failed test."""
        with self.forward_ledger() as address:
            command = [sys.executable, "-m", "flobc.cli.main", "verify", address, *options, "--json"]
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        report: dict[str, Any] = json.loads(run.stdout)
        return report

    def describe(self) -> str:
        """Pods, the newest events, and the last words of each pod that is not ready."""
        said = [self.kubectl("get", "pods", "--output", "wide", check=False)]
        said.append(self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False)[-4000:])
        for pod in self.list_objects("pods"):
            name = pod["metadata"]["name"]
            said.append(f"--- {name}\n{self.kubectl('logs', name, '--all-containers', '--tail=8', check=False)}")
        return "\n".join(said)

    def _run_helm(self, folder: Path, values: dict[str, Any], verb: str, *options: str) -> None:
        file = folder / f"{self.release}.json"  # JSON is YAML too
        file.write_text(json.dumps(values))
        given = os.environ.get(VALUES_VARIABLE)
        files = [item for path in (given, file) if path for item in ("--values", str(path))]
        command = [verb, self.release, str(CHART), *self._in, *files, *options]
        self.cluster.helm(*command, program=self._helm)
