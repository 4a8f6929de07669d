"""What the chart's pods run before the services: the genesis Job's program and the script that enrols a node."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flobc.adapters.filesystem import FileModels
from flobc.adapters.filesystem.keys import load_key_file
from flobc.composition.services.parts import load_genesis_file

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "charts" / "flobc" / "files"
ARGUMENTS = ["--task", "synthetic", "--trainers", "2", "--validators", "4"]


class Api:
    """Creates and shows ConfigMaps and Secrets as Kubernetes' API does; ``refuses`` names objects it does not take."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.refuses: set[str] = set()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = api.objects.get(self.path)
                self._answer(404 if found is None else 200, found or {})

            def do_POST(self) -> None:
                item = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = f"{self.path}/{item['metadata']['name']}"
                if path in api.objects or item["metadata"]["name"] in api.refuses:
                    self._answer(409 if path in api.objects else 503, {})
                else:
                    api.objects[path] = item
                    self._answer(201, item)

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


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api()
    yield served
    served.server.shutdown()
    served.server.server_close()


def publish(api: Api, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "KUBERNETES_API": f"http://127.0.0.1:{api.server.server_port}",
        "NAME": "r1-flobc",
        "NAMESPACE": "prod",
        "INSTANCE": "r1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, str(SCRIPTS / "publish_genesis.py"), *(arguments or ARGUMENTS)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def enrol(folder: Path, role: str, index: int) -> subprocess.CompletedProcess[str]:
    places = {name.upper(): str(folder / name) for name in ("data", "chain", "keys")}
    environment = {"PATH": os.environ["PATH"], "FLOBC_INDEX": str(index), **places}
    command = ["sh", str(SCRIPTS / "enrol.sh"), role]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def mount(folder: Path, entries: dict[str, bytes]) -> None:
    """Lay out entries as Kubernetes mounts them: links to files in a folder beside."""
    (folder / "..data").mkdir(parents=True)
    for name, content in entries.items():
        (folder / "..data" / name).write_bytes(content)
        (folder / name).symlink_to(Path("..data") / name)


def test_a_job_that_broke_off_goes_on_with_the_same_keys_and_a_node_can_enrol(api: Api, tmp_path: Path) -> None:
    api.refuses = {"r1-flobc-chain"}
    broken = publish(api)
    assert broken.returncode == 1
    assert "tries again" in broken.stderr
    keys = api.get_entries("secrets", "r1-flobc-validator-keys")
    assert sorted(keys) == [f"validator-{index}" for index in range(4)]

    api.refuses = set()
    done = publish(api)
    assert done.returncode == 0, done.stderr
    assert api.get_entries("secrets", "r1-flobc-validator-keys") == keys
    secret = keys["validator-2"].decode().strip().rpartition(":")[2]
    assert secret not in broken.stdout + broken.stderr + done.stdout + done.stderr
    assert all(item["immutable"] for item in api.objects.values())

    before = dict(api.objects)
    assert publish(api).returncode == 0
    assert api.objects == before

    chain = api.get_entries("configmaps", "r1-flobc-chain")
    mount(tmp_path / "chain", chain)
    mount(tmp_path / "keys", keys)
    (tmp_path / "data").mkdir()
    for _ in range(2):  # a restart does it again
        enrolled = enrol(tmp_path, "validator", 2)
        assert enrolled.returncode == 0, enrolled.stderr
    genesis = load_genesis_file(tmp_path / "data" / "genesis")
    assert load_key_file(tmp_path / "data" / "key").public_key in genesis.validators
    assert FileModels(tmp_path / "data" / "initial").get(genesis.initial_model) is not None
    assert (tmp_path / "data" / "key").stat().st_mode & 0o077 == 0


def test_invalid_options_store_nothing(api: Api) -> None:
    refused = publish(api, *ARGUMENTS, "--sync", "sometimes")
    assert refused.returncode == 2
    assert "--sync" in refused.stderr
    assert api.objects == {}


def test_invalid_a_node_that_genesis_does_not_know_is_told_so(tmp_path: Path) -> None:
    mount(tmp_path / "chain", {"genesis": b"a chain"})
    mount(tmp_path / "keys", {"trainer-0": b"a key"})
    (tmp_path / "data").mkdir()
    refused = enrol(tmp_path, "trainer", 6)
    assert refused.returncode == 1
    assert "enrols no trainer-6" in refused.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_invalid_a_volume_of_another_chain_is_left_as_it_is(tmp_path: Path) -> None:
    mount(tmp_path / "chain", {"genesis": b"a chain"})
    mount(tmp_path / "keys", {"trainer-0": b"a key"})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "genesis").write_bytes(b"another chain")
    refused = enrol(tmp_path, "trainer", 0)
    assert refused.returncode == 1
    assert "belongs to another chain" in refused.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["genesis"]
