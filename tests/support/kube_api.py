"""A small part of the Kubernetes API over HTTP, for the real client: StatefulSets, autoscalers, pods, nodes.

It keeps objects and counts pods up or down when it is told; the rules of a real API server are its own.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.kube_forward import forward

NAMESPACE, RELEASE = "flobc", "lab"
NODE = "node-1"
Objects = dict[str, dict[str, Any]]


@dataclass
class KubeApi:
    """The objects of a namespace by name, what was asked for, and which paths are refused with which status.

    ``ports`` says by pod and port what server stands behind.
    """

    sets: Objects = field(default_factory=dict)
    autoscalers: Objects = field(default_factory=dict)
    pods: Objects = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    patches: list[tuple[str, int]] = field(default_factory=list)
    ports: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    address: str = ""

    def add_set(self, role: str, replicas: int, release: str = RELEASE, **environment: str) -> dict[str, Any]:
        """A StatefulSet of the chart, all of its pods ready."""
        name = f"{release}-{role}"
        labels = {"app.kubernetes.io/instance": release, "app.kubernetes.io/component": role}
        container = {"name": role, "env": [{"name": key, "value": value} for key, value in environment.items()]}
        self.sets[name] = {
            "metadata": {"name": name, "labels": labels, "generation": 1},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "serviceName": name,
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
            "status": {"observedGeneration": 1, "replicas": replicas, "readyReplicas": replicas},
        }
        return self.sets[name]

    def add_autoscaler(self, name: str, target: str) -> None:
        spec = {"scaleTargetRef": {"kind": "StatefulSet", "name": target}, "maxReplicas": 9}
        self.autoscalers[name] = {"metadata": {"name": name}, "spec": spec}

    def add_pod(self, role: str, index: int, release: str = RELEASE, *, ready: bool = True) -> None:
        labels = {"app.kubernetes.io/instance": release, "app.kubernetes.io/component": role}
        name = f"{release}-{role}-{index}"
        self.pods[name] = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [], "nodeName": NODE},
            "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
        }

    def settle(self, role: str, ready: int | None = None) -> None:
        """Bring the pods of a role to where they are to be, or some of them."""
        found = self.sets[f"{RELEASE}-{role}"]
        wanted = found["spec"]["replicas"]
        generation = found["metadata"]["generation"]
        found["status"] = {"observedGeneration": generation, "replicas": wanted, "readyReplicas": wanted}
        if ready is not None:
            found["status"]["readyReplicas"] = ready

    def write_kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        named = {"cluster": {"server": self.address}, "user": {}, "context": {"cluster": "here", "user": "me"}}
        data = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": named["cluster"]}],
            "users": [{"name": "me", "user": named["user"]}],
            "contexts": [{"name": "here", "context": named["context"]}],
        }
        path.write_text(json.dumps(data))
        return path

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """Status and body of a GET."""
        for part, status in self.refusals.items():
            if part in path:
                return status, {"kind": "Status", "code": status, "message": "no"}
        kinds = {
            f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets": self.sets,
            f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers": self.autoscalers,
            f"/api/v1/namespaces/{NAMESPACE}/pods": self.pods,
        }
        if path in kinds:
            wanted = dict(pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair)
            chosen = [
                each for each in kinds[path].values() if wanted.items() <= each["metadata"].get("labels", {}).items()
            ]
            return 200, {"kind": "List", "items": chosen}
        if path == f"/api/v1/nodes/{NODE}":
            return 200, {"metadata": {"name": NODE}, "status": {"capacity": {"cpu": "4"}}}
        if path == f"/api/v1/nodes/{NODE}/proxy/stats/summary":
            return 200, self.summary
        return 404, {"kind": "Status", "code": 404, "message": "not found"}

    def patch_scale(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and body of a PATCH of ``/scale``."""
        found = re.fullmatch(rf"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/([^/]+)/scale", path)
        if found is None or found[1] not in self.sets:
            return 404, {"kind": "Status", "code": 404}
        if "/scale" in self.refusals:
            return self.refusals["/scale"], {"kind": "Status"}
        each = self.sets[found[1]]
        each["spec"]["replicas"] = body["spec"]["replicas"]
        each["metadata"]["generation"] += 1
        self.patches.append((found[1], body["spec"]["replicas"]))
        return 200, {"metadata": {"name": found[1]}, "spec": body["spec"]}


@contextmanager
def serving_api() -> Iterator[KubeApi]:
    """An API without objects that listens on this machine."""
    api = KubeApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            pod = re.fullmatch(rf"/api/v1/namespaces/{NAMESPACE}/pods/([^/]+)/portforward", parts.path)
            if pod is not None:
                port = int(parse_qs(parts.query)["ports"][0])
                return forward(self, port, api.ports[pod[1], port])
            return self._reply(*api.answer(parts.path, parse_qs(parts.query)))

        def do_PATCH(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._reply(*api.patch_scale(urlsplit(self.path).path, body))

        def _reply(self, status: int, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
