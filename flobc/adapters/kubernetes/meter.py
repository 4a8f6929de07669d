"""The port UsageMeter over a release's pods and their nodes, as each node's kubelet counts."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from datetime import datetime
from typing import Any

from flobc.adapters.kubernetes.client import COMPONENT, INSTANCE, TIMEOUT_S, Cluster, in_our_words
from flobc.errors import TransientError, UsageError
from flobc.ports.scaler import Usage

_NANO = 1e-9


class PodMeter:
    """Processor seconds from the kubelets' summaries: counters, so a difference is exact and needs no metrics server.

    Where the rights for ``nodes/proxy`` are missing nothing is known, and readings are empty. Counters are some
    seconds old, so ``at_s`` is the time at which the kubelets took them (their mean, of several nodes).
    """

    def __init__(self, cluster: Cluster, namespace: str, release: str) -> None:
        self._cluster, self._namespace, self._release = cluster, namespace, release

    def read(self) -> Usage:
        """Return what pods and nodes have used so far. **Raises** TransientError."""
        roles, nodes = self._list_pods()
        cpu_s: dict[str, float] = defaultdict(float)
        machine_s: dict[str, float] = {}
        cores: dict[str, int] = {}
        taken_s = []
        for node in sorted(nodes):
            try:
                summary = self._read_summary(node)
                cores[node] = self._read_cores(node)
            except UsageError:
                return Usage(0.0, {}, {}, {})
            machine_s[node] = _get_seconds(summary["node"])
            taken_s.append(datetime.fromisoformat(summary["node"]["cpu"]["time"]).timestamp())
            for pod in summary.get("pods", ()):
                reference = pod["podRef"]
                role = roles.get(reference["name"]) if reference["namespace"] == self._namespace else None
                if role is not None:
                    cpu_s[role] += _get_seconds(pod)
        return Usage(statistics.fmean(taken_s) if taken_s else 0.0, dict(cpu_s), machine_s, cores)

    def _list_pods(self) -> tuple[dict[str, str], set[str]]:
        """Roles of the release's pods by name, and the nodes that they run on."""
        with in_our_words(f"list the pods of {self._namespace}"):
            pods = self._cluster.core.list_namespaced_pod(
                self._namespace, label_selector=f"{INSTANCE}={self._release}", _request_timeout=TIMEOUT_S
            ).items
        placed = [pod for pod in pods if pod.spec.node_name]
        return (
            {pod.metadata.name: pod.metadata.labels.get(COMPONENT, "other") for pod in placed},
            {pod.spec.node_name for pod in placed},
        )

    def _read_summary(self, node: str) -> dict[str, Any]:
        with in_our_words(f"read the usage of node {node}"):
            answer = self._cluster.core.connect_get_node_proxy_with_path(
                node, "stats/summary", _preload_content=False, _request_timeout=TIMEOUT_S
            )
        try:
            found = json.loads(answer.data)
        except ValueError as error:
            raise TransientError(f"The kubelet of {node} tells its usage in no usable form.", 1.0) from error
        return dict(found)

    def _read_cores(self, node: str) -> int:
        with in_our_words(f"look at node {node}"):
            found = self._cluster.core.read_node(node, _request_timeout=TIMEOUT_S)
        return int(found.status.capacity["cpu"])


def _get_seconds(part: dict[str, Any]) -> float:
    return float(part.get("cpu", {}).get("usageCoreNanoSeconds", 0)) * _NANO
