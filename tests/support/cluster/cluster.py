"""The Kubernetes that tests run on: the one of KUBECONFIG, else one node started here, with FLoBC's images in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cluster.binaries import find_binaries
from tests.support.cluster.engine import Engine, build_images, find_engine
from tests.support.cluster.node import Node

VALUES_VARIABLE = "FLOBC_TEST_VALUES"
"""Names a values file for every release, such as one that says where the images are; for a cluster of one's own."""

KEEP_VARIABLE = "FLOBC_TEST_KEEP"
"""When set, the node that the tests started is left running."""


@dataclass(frozen=True)
class Cluster:
    """How to speak with a cluster, and with which Helm; ``node`` is the one that was started here, if it was."""

    kubeconfig: Path
    helms: dict[str, str]
    node: Node | None = None

    def kubectl(self, *arguments: str, timeout_s: float = 120, check: bool = True) -> str:
        """Run kubectl and return what it prints. **Raises** RuntimeError with its words when it fails."""
        return _run([*self.build_kubectl(), *arguments], timeout_s, check)

    def build_kubectl(self) -> list[str]:
        return ["kubectl", "--kubeconfig", str(self.kubeconfig)]

    def read(self, *arguments: str) -> dict[str, Any]:
        """What ``kubectl get`` finds."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output", "json"))
        return found

    def helm(self, *arguments: str, program: str = "", timeout_s: float = 600, check: bool = True) -> str:
        """Run Helm, the newest unless another is named, and return what it prints. **Raises** RuntimeError."""
        client = self.helms[program or max(self.helms)]
        return _run([client, "--kubeconfig", str(self.kubeconfig), *arguments], timeout_s, check)


def find_lack() -> str:
    """Why there is no cluster for tests on this machine; empty when there is one."""
    if os.environ.get("KUBECONFIG"):
        absent = [name for name in ("kubectl", "helm") if shutil.which(name) is None]
        return f"{' and '.join(absent)} missing on the PATH" if absent else ""
    if os.geteuid() != 0:
        return "no KUBECONFIG is set, and starting a node needs root"
    absent = [*Node().find_missing(), *(name for name in ("docker",) if shutil.which(name) is None)]
    absent += [] if find_binaries().helms else ["helm"]
    if absent:
        return f"no KUBECONFIG is set, and for a node of its own {', '.join(absent)} missing (docs/images.md)"
    return ""


def start_cluster() -> Cluster:
    """The cluster, ready for releases. What was started for it ends with ``stop_cluster``."""
    given = os.environ.get("KUBECONFIG")
    if given:
        return Cluster(Path(given), {"helm": str(shutil.which("helm"))})
    node = Node()
    engine = find_engine()
    if engine is None:
        raise RuntimeError("No Docker engine answers here and none can be started; set DOCKER_HOST.")
    images = build_images(engine)
    node.start()
    _load_images(engine, node, images)
    engine.stop()  # its memory is worth more to the pods
    return Cluster(node.kubeconfig, find_binaries().helms, node)


def stop_cluster(cluster: Cluster) -> None:
    """End the node if it was started here and nobody wants it kept."""
    if cluster.node is not None and not os.environ.get(KEEP_VARIABLE):
        cluster.node.stop()


def _load_images(engine: Engine, node: Node, images: list[str]) -> None:
    """Bring those images into the node that it does not have in this very form: gigabytes, so not twice."""
    notes = node.root / "images.json"
    known: dict[str, str] = json.loads(notes.read_text()) if notes.exists() else {}
    wanted = {image: engine.get_image_id(image) for image in images}
    changed = [image for image, number in wanted.items() if known.get(image) != number]
    if not changed:
        return
    # in one archive, so that the layers that images share come once
    saving = subprocess.Popen([engine.client, "save", *changed], env=engine.environment, stdout=subprocess.PIPE)
    node.load(saving.stdout)
    if saving.wait():
        raise RuntimeError(f"docker save {' '.join(changed)} failed with {saving.returncode}")
    notes.write_text(json.dumps(wanted))


def _run(command: list[str], timeout_s: float, check: bool) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} failed with {done.returncode}: {done.stderr[-3000:]}{done.stdout[-500:]}"
        )
    return done.stdout
