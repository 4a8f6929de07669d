"""Make a chain's genesis and keys and store them in Kubernetes, once; arguments are those of ``flobc genesis new``.

Every step may be repeated: keys that are stored already are used again, and the ConfigMap with the genesis, which all
pods wait for, comes last. Needs nothing but Python's own library and the API's address, token and certificate.
"""

import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MAX_OBJECT_BYTES = 1_000_000
ANSWER_S = 30
ROLES = ("trainer", "validator")


class Cluster:
    """The namespace's ConfigMaps and Secrets, by name."""

    def __init__(self, address: str, namespace: str) -> None:
        self._base = f"{address}/api/v1/namespaces/{namespace}"
        authority = ACCOUNT / "ca.crt"
        self._tls = ssl.create_default_context(cafile=str(authority) if authority.exists() else None)

    def get(self, kind: str, name: str) -> dict[str, bytes] | None:
        """Return an object's entries, or None when there is no such object."""
        try:
            found = self._ask(f"{self._base}/{kind}/{name}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        entries = found.get("binaryData" if kind == "configmaps" else "data") or {}
        return {key: base64.b64decode(value) for key, value in entries.items()}

    def create(self, kind: str, name: str, instance: str, entries: dict[str, bytes]) -> None:
        """Store a new object that nobody can change."""
        labels = {"app.kubernetes.io/name": "flobc", "app.kubernetes.io/instance": instance}
        data = {key: base64.b64encode(value).decode() for key, value in entries.items()}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap" if kind == "configmaps" else "Secret",
            "metadata": {"name": name, "labels": labels},
            "binaryData" if kind == "configmaps" else "data": data,
            "immutable": True,
        }
        self._ask(f"{self._base}/{kind}", json.dumps(body).encode())
        print(f"stored {kind[:-1]} {name}", flush=True)

    def _ask(self, url: str, body: bytes | None = None) -> dict:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        token = ACCOUNT / "token"
        if token.exists():
            request.add_header("Authorization", f"Bearer {token.read_text().strip()}")
        with urllib.request.urlopen(request, timeout=ANSWER_S, context=self._tls) as answer:
            return json.load(answer)


def take_keys(root: Path, stored: dict[str, bytes]) -> None:
    """Lay stored keys where ``flobc genesis new`` looks for them."""
    for node, key in stored.items():
        path = root / "nodes" / node / "key"
        path.parent.mkdir(parents=True)
        path.touch(0o600)
        path.write_bytes(key)


def collect_keys(root: Path, role: str) -> dict[str, bytes]:
    """Return the nodes' keys of a role."""
    return {path.parent.name: path.read_bytes() for path in sorted((root / "nodes").glob(f"{role}-*/key"))}


def publish(cluster: Cluster, name: str, instance: str, arguments: list[str]) -> int:
    """Store what is not there yet and return the exit code."""
    if cluster.get("configmaps", f"{name}-chain") is not None:
        print("the chain is there already", flush=True)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "chain"
        stored = {role: cluster.get("secrets", f"{name}-{role}-keys") for role in ROLES}
        for keys in stored.values():
            take_keys(root, keys or {})
        command = [sys.executable, "-m", "flobc.cli.main", "genesis", "new", "--quiet", "--dir", str(root), *arguments]
        code = subprocess.run(command, check=False).returncode
        if code:
            return code
        files = [root / "genesis", *sorted((root / "initial").glob("*.model"))]
        size = sum(path.stat().st_size for path in files) * 4 // 3
        if size > MAX_OBJECT_BYTES:
            print(
                f"The first model and genesis take {size} bytes, and a ConfigMap holds {MAX_OBJECT_BYTES}; choose "
                "a smaller model.",
                file=sys.stderr,
            )
            return 2
        for role in ROLES:
            if stored[role] is None:
                cluster.create("secrets", f"{name}-{role}-keys", instance, collect_keys(root, role))
        cluster.create("configmaps", f"{name}-chain", instance, {path.name: path.read_bytes() for path in files})
    return 0


def main() -> int:
    """Publish to the cluster that the environment names."""
    address = os.environ.get("KUBERNETES_API", "https://kubernetes.default.svc")
    cluster = Cluster(address, os.environ["NAMESPACE"])
    try:
        return publish(cluster, os.environ["NAME"], os.environ["INSTANCE"], sys.argv[1:])
    except urllib.error.URLError as error:
        print(f"Kubernetes did not take the chain ({error}); this Job tries again.", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
