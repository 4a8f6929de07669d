"""A namespace of Kubernetes, with nothing but Python's own library: what the chart's Jobs store and change there."""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEFAULT_ADDRESS = "https://kubernetes.default.svc"
KEEP = {"helm.sh/resource-policy": "keep"}
ANSWER_S = 30


@dataclass(frozen=True)
class Stored:
    """What a ConfigMap or Secret holds."""

    entries: dict[str, bytes]
    annotations: dict[str, str]


class Cluster:
    """One namespace; every method raises ``urllib.error.URLError`` when Kubernetes does not answer or not so."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._address = os.environ.get("KUBERNETES_API", DEFAULT_ADDRESS)
        authority = ACCOUNT / "ca.crt"
        self._tls = ssl.create_default_context(cafile=str(authority) if authority.exists() else None)

    def get(self, kind: str, name: str) -> Stored | None:
        """Return what an object of ``configmaps`` or ``secrets`` holds, or None when there is no such object."""
        try:
            found = self._ask("GET", f"api/v1/namespaces/{self._namespace}/{kind}/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        encoded = found.get("binaryData" if kind == "configmaps" else "data") or {}
        entries = {key: base64.b64decode(value) for key, value in encoded.items()}
        entries |= {key: value.encode() for key, value in (found.get("data") or {}).items() if kind == "configmaps"}
        return Stored(entries, found["metadata"].get("annotations") or {})

    def create(
        self, kind: str, name: str, instance: str, entries: dict[str, bytes], annotations: dict[str, str] | None = None
    ) -> None:
        """Store a new object that nobody can change, and that outlives the release."""
        labels = {"app.kubernetes.io/name": "flobc", "app.kubernetes.io/instance": instance}
        data = {key: base64.b64encode(value).decode() for key, value in entries.items()}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap" if kind == "configmaps" else "Secret",
            "metadata": {"name": name, "labels": labels, "annotations": KEEP | (annotations or {})},
            "binaryData" if kind == "configmaps" else "data": data,
            "immutable": True,
        }
        self._ask("POST", f"api/v1/namespaces/{self._namespace}/{kind}", body)
        print(f"stored {kind[:-1]} {name}", flush=True)

    def set_scale(self, resource: str, count: int) -> None:
        """Set how many pods ``statefulsets/NAME`` or ``deployments/NAME`` has."""
        path = f"apis/apps/v1/namespaces/{self._namespace}/{resource}/scale?fieldManager=flobc-scale"
        self._ask("PATCH", path, {"spec": {"replicas": count}})
        print(f"{resource} has {count} pods", flush=True)

    def delete_set(self, name: str) -> None:
        """Take a StatefulSet away, and with it its pods; their claims stay."""
        path = f"apis/apps/v1/namespaces/{self._namespace}/statefulsets/{name}"
        try:
            self._ask("DELETE", path, {"propagationPolicy": "Background"})
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    def count_pods(self, selector: str) -> int:
        """Return how many pods have these labels, those that are about to end included."""
        asked = urllib.parse.urlencode({"labelSelector": selector})
        return len(self._ask("GET", f"api/v1/namespaces/{self._namespace}/pods?{asked}")["items"])

    def _ask(self, method: str, path: str, body: dict | None = None) -> dict:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._address}/{path}", data, {"Content-Type": kind}, method=method)
        token = ACCOUNT / "token"
        if token.exists():
            request.add_header("Authorization", f"Bearer {token.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=ANSWER_S, context=self._tls) as answer:
            return json.load(answer)
