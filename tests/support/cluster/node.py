"""A real Kubernetes of one node on this machine, from plain programs, for tests; needs root and Debian's packages.

Usage: python -m tests.support.cluster.node up|down|load ARCHIVE...

The packages are etcd-server containerd runc containernetworking-plugins iptables conntrack iproute2 gcc openssl; the
Kubernetes programs come from ``binaries.py``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import IO

from flobc.composition.local.process import DetachedProcess
from tests.support.cluster.binaries import KUBERNETES_PROGRAMS, Binaries, find_binaries
from tests.support.cluster.node_files import ADDRESS, NAME, PAUSE_IMAGE, PODS, SERVICES, write_files

STATE = Path("/var/tmp/flobc-kubernetes")
PROGRAMS = ("etcd", "containerd", "runc", "iptables", "conntrack", "ip", "gcc", "openssl", "kubectl")
_START_S = 180
_STOP_S = 30
_ETCD = "http://127.0.0.1:12379"
_ETCD_PEER = "http://127.0.0.1:12380"
_STARTED = ("etcd", "apiserver", "controllers", "scheduler", "containerd", "kubelet", "proxy", "names", "storage")
# Pods reach pods and nothing beyond this machine. A Service's address of which the node does not know yet would else be
# asked for outside, and where a stranger answers, a connection stays with the stranger.
_FENCE = (("mangle", "FORWARD", "-s", PODS, "!", "-d", PODS, "-j", "DROP"),)


class Node:
    """The node and its control plane. It outlives the process that starts it, until somebody stops it."""

    def __init__(self, root: Path = STATE, binaries: Binaries | None = None) -> None:
        self.root = root
        self.binaries = binaries or find_binaries()

    @property
    def kubeconfig(self) -> Path:
        return self.root / "admin.kubeconfig"

    @property
    def containerd(self) -> list[str]:
        """The command that speaks with the node's containerd."""
        return ["ctr", "--address", str(self.root / "run" / "containerd.sock"), "--namespace", "k8s.io"]

    def find_missing(self) -> list[str]:
        """What is not there to start a node with, as names of programs."""
        built = [name for name in self.binaries.missing if name in KUBERNETES_PROGRAMS]
        return [*built, *(name for name in PROGRAMS if shutil.which(name) is None)]

    def start(self) -> None:
        """Start what does not run and wait until the node is ready for pods."""
        write_files(self.root)
        listed = subprocess.run(["ip", "addr", "show", "dev", "lo"], capture_output=True, text=True, check=True).stdout
        if f"{ADDRESS}/32" not in listed:
            subprocess.run(["ip", "addr", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
        for table, *rule in _FENCE:
            if not _succeeds(["iptables", "-t", table, "-C", *rule]):
                subprocess.run(["iptables", "-t", table, "-I", *rule], check=True)
        self._start_control_plane()
        self._start("containerd", "containerd", "-c", f"{self.root}/containerd.toml")
        self._get("containerd").wait_until(lambda: _succeeds([*self.containerd, "version"]), _START_S)
        self._load_pause_image()
        self._start_node()
        self._get("kubelet").wait_until(self._is_ready, _START_S)
        for name, module in (("names", "dns"), ("storage", "storage")):
            arguments = [f"tests.support.cluster.{module}", str(self.kubeconfig), str(self.root)]
            self._start(name, sys.executable, "-m", *arguments)

    def stop(self) -> None:
        """End everything that belongs to the node, pods first; images stay for the next time."""
        everything = ["deploy,sts,ds,job,pod", "--all", "--all-namespaces", "--grace-period=1", "--timeout=60s"]
        _succeeds([*self._kubectl(), "delete", *everything], 90)
        for name in ("storage", "names", "proxy", "kubelet"):
            self._get(name).stop(_STOP_S)
        proxy = self.binaries.folder / "kube-proxy"
        if proxy.exists():
            _succeeds([str(proxy), f"--config={self.root}/proxy.yaml", "--cleanup"], 60)
        listed = subprocess.run([*self.containerd, "tasks", "ls", "-q"], capture_output=True, text=True, check=False)
        for task in listed.stdout.split():
            _succeeds([*self.containerd, "tasks", "kill", "--signal", "SIGKILL", task])
        for name in reversed(_STARTED):
            self._get(name).stop(_STOP_S)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for path in sorted((path for path in mounts if path.startswith(f"{self.root}/")), reverse=True):
            _succeeds(["umount", "--lazy", path])
        for table, *rule in _FENCE:
            _succeeds(["iptables", "-t", table, "-D", *rule])
        _succeeds(["ip", "link", "delete", "flobc-pods"])
        _succeeds(["ip", "addr", "delete", f"{ADDRESS}/32", "dev", "lo"])
        for folder in ("etcd", "kubelet", "volumes"):  # a next node begins empty; its images are already there
            shutil.rmtree(self.root / folder, ignore_errors=True)

    def load(self, archive: IO[bytes] | None) -> None:
        """Make the images of an archive (``docker save``) known to the node."""
        subprocess.run([*self.containerd, "images", "import", "-"], stdin=archive, check=True, capture_output=True)

    def _kubectl(self) -> list[str]:
        return ["kubectl", "--kubeconfig", str(self.kubeconfig)]

    def _get(self, name: str) -> DetachedProcess:
        return DetachedProcess(name, self.root / "run" / f"{name}.pid", self.root / "log" / f"{name}.log")

    def _start(self, name: str, program: str, *arguments: str) -> None:
        process = self._get(name)
        if process.pid is None:
            built = self.binaries.folder / program
            process.start([str(built) if built.exists() else program, *arguments])

    def _start_control_plane(self) -> None:
        pki = self.root / "pki"
        serving = [f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}"]
        peers = [f"--listen-peer-urls={_ETCD_PEER}", f"--initial-advertise-peer-urls={_ETCD_PEER}"]
        peers.append(f"--initial-cluster=default={_ETCD_PEER}")
        self._start("etcd", "etcd", "--unsafe-no-fsync", f"--data-dir={self.root}/etcd", *serving, *peers)
        self._start(
            "apiserver",
            "kube-apiserver",
            f"--etcd-servers={_ETCD}",
            f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}",
            "--secure-port=6443",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--token-auth-file={pki}/tokens.csv",
            "--authorization-mode=Node,RBAC",
            f"--service-cluster-ip-range={SERVICES}",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            f"--kubelet-client-certificate={pki}/apiserver.crt",
            f"--kubelet-client-key={pki}/apiserver.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
        )
        self._get("apiserver").wait_until(self._answers, _START_S)
        alone = ["--bind-address=127.0.0.1", "--leader-elect=false"]
        signing = [f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.crt"]
        settings = [f"--kubeconfig={self.root}/controllers.kubeconfig", "--use-service-account-credentials=true"]
        self._start("controllers", "kube-controller-manager", *settings, *alone, *signing)
        self._start("scheduler", "kube-scheduler", f"--kubeconfig={self.root}/scheduler.kubeconfig", *alone)

    def _start_node(self) -> None:
        self._start(
            "kubelet",
            "kubelet",
            f"--kubeconfig={self.root}/kubelet.kubeconfig",
            f"--config={self.root}/kubelet.yaml",
            f"--root-dir={self.root}/kubelet",
            f"--cert-dir={self.root}/kubelet/pki",
            f"--hostname-override={NAME}",
            f"--node-ip={ADDRESS}",
        )
        self._start("proxy", "kube-proxy", f"--config={self.root}/proxy.yaml")

    def _answers(self) -> bool:
        request = urllib.request.Request(
            f"https://{ADDRESS}:6443/readyz", headers={"Authorization": "Bearer admin-token"}
        )
        tls = ssl.create_default_context(cafile=str(self.root / "pki" / "ca.crt"))
        try:
            with urllib.request.urlopen(request, timeout=2, context=tls) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _is_ready(self) -> bool:
        path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
        asked = [*self._kubectl(), "get", "node", NAME, "--output", path]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout == "True"

    def _load_pause_image(self) -> None:
        """The process that holds a pod's network open, made here: a loop that waits and reaps."""
        held = subprocess.run([*self.containerd, "images", "ls", "-q"], capture_output=True, text=True, check=True)
        if PAUSE_IMAGE in held.stdout.split():
            return
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "pause.c").write_text(_PAUSE)
            compiling = ["gcc", "-static", "-Os", "-s", "-o", f"{folder}/pause", f"{folder}/pause.c"]
            subprocess.run(compiling, check=True)
            with tarfile.open(folder / "layer.tar", "w") as layer:
                layer.add(folder / "pause", "pause")
            digest = hashlib.sha256((folder / "layer.tar").read_bytes()).hexdigest()
            config = {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": ["/pause"]},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
            manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
            (folder / "config.json").write_text(json.dumps(config))
            (folder / "manifest.json").write_text(json.dumps(manifest))
            with tarfile.open(folder / "image.tar", "w") as image:
                for part in ("manifest.json", "config.json", "layer.tar"):
                    image.add(folder / part, part)
            with (folder / "image.tar").open("rb") as archive:
                self.load(archive)


_PAUSE = """\
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int number) { _exit(0); }
static void reap(int number) { while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGTERM, end); signal(SIGINT, end); signal(SIGCHLD, reap); for (;;) pause(); }
"""


def _succeeds(command: list[str], timeout_s: float = 20) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=timeout_s).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main(arguments: list[str]) -> int:
    """Do what the command line says."""
    node = Node()
    if arguments == ["up"]:
        missing = node.find_missing()
        if missing:
            print(f"A node cannot be started here: {', '.join(missing)} missing; see docs/images.md.", file=sys.stderr)
            return 2
        node.start()
        print(node.kubeconfig)
    elif arguments == ["down"]:
        node.stop()
    elif arguments[:1] == ["load"]:
        for name in arguments[1:]:
            with Path(name).open("rb") as archive:
                node.load(archive)
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
