"""What the chart's pods run beside the services, run here, against as much of Kubernetes' API as they ask for."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "charts" / "flobc" / "files"
PODS = "/api/v1/namespaces/prod/pods?"


class Api:
    """Creates and shows ConfigMaps and Secrets as Kubernetes' API does; ``refuses`` names objects it does not take.

    ``sets`` are paths of StatefulSets, ``pods`` how many pods it counts each time that it is asked.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.refuses: set[str] = set()
        self.patches: dict[str, tuple[str | None, dict[str, Any]]] = {}
        self.half: dict[str, dict[str, Any]] = {}
        self.said = ""
        self.sets: set[str] = set()
        self.deleted: list[str] = []
        self.pods: list[int] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = api.objects.get(self.path)
                if self.path.startswith(PODS):
                    found = {"items": [{} for _ in range(api.pods.pop(0) if api.pods else 0)]}
                self._answer(404 if found is None else 200, found or {})

            def do_POST(self) -> None:
                item = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = f"{self.path}/{item['metadata']['name']}"
                if path in api.objects or item["metadata"]["name"] in api.refuses:
                    self._answer(409 if path in api.objects else 503, {})
                else:
                    api.objects[path] = item
                    self._answer(201, item)

            def do_DELETE(self) -> None:
                api.deleted.append(self.path)
                self._answer(200 if self.path in api.sets else 404, {})
                api.sets.discard(self.path)

            def do_PATCH(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                api.patches[self.path.partition("?")[0]] = (self.headers["Content-Type"], body)
                self._answer(200, {})

            def _answer(self, code: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def get_entries(self, kind: str, name: str) -> dict[str, bytes]:
        item = self.objects[f"/api/v1/namespaces/prod/{kind}/{name}"]
        data = item["binaryData" if kind == "configmaps" else "data"]
        return {key: base64.b64decode(value) for key, value in data.items()}


@contextlib.contextmanager
def serve_api() -> Iterator[Api]:
    served = Api()
    yield served
    served.server.shutdown()
    served.server.server_close()


def run_script(api: Api, script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "KUBERNETES_API": f"http://127.0.0.1:{api.server.server_port}",
        "NAMESPACE": "prod",
        "INSTANCE": "r1",
        "PYTHONPATH": str(ROOT),
        **variables,
    }
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def enrol(folder: Path, role: str, index: int, per_pod: int = 1) -> subprocess.CompletedProcess[str]:
    places = {name.upper(): str(folder / name) for name in ("data", "chain", "keys", "invitation")}
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "FLOBC_INDEX": str(index),
        "PER_POD": str(per_pod),
        "IDLE_S": "0",
        **places,
    }
    command = ["sh", str(SCRIPTS / "enrol.sh"), role]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def mount(folder: Path, entries: dict[str, bytes]) -> None:
    """Lay out entries as Kubernetes mounts them: links to files in a folder beside."""
    (folder / "..data").mkdir(parents=True)
    for name, content in entries.items():
        (folder / "..data" / name).write_bytes(content)
        (folder / name).symlink_to(Path("..data") / name)


def store(api: Api, kind: str, name: str, entries: dict[str, bytes]) -> None:
    data = {key: base64.b64encode(value).decode() for key, value in entries.items()}
    field = "binaryData" if kind == "configmaps" else "data"
    api.objects[f"/api/v1/namespaces/prod/{kind}/{name}"] = {"metadata": {"name": name}, field: data}
