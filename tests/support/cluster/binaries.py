"""The programs of a one-node Kubernetes and Helm, built from their Go modules once and kept outside the checkout.

Usage: python -m tests.support.cluster.binaries        (prints the folder; about 20 minutes on two cores the first time)
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CACHE_VARIABLE = "FLOBC_CACHE"
"""Names the folder that holds what is made once and used by many checkouts; else it is ~/.cache/flobc."""

TOOLS = Path(__file__).parent / "tools"
KUBERNETES_PROGRAMS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")
HELM_VERSIONS = {"helm3": "helm.sh/helm/v3/cmd/helm@v3.22.0", "helm4": "helm.sh/helm/v4/cmd/helm@v4.3.1"}


@dataclass(frozen=True)
class Binaries:
    """Where the programs are; ``missing`` names those that nobody has built yet."""

    folder: Path

    @property
    def missing(self) -> list[str]:
        return [name for name in (*KUBERNETES_PROGRAMS, *HELM_VERSIONS) if not (self.folder / name).exists()]

    @property
    def helms(self) -> dict[str, str]:
        """Each Helm that is there, by its major version's name."""
        return {name: str(self.folder / name) for name in HELM_VERSIONS if (self.folder / name).exists()}


def get_cache() -> Path:
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "flobc")


def read_version() -> str:
    """The version of Kubernetes that tools/go.mod asks for."""
    found = re.search(r"^(?:require)?\s+k8s\.io/kubernetes v(\S+)", (TOOLS / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError(f"{TOOLS / 'go.mod'} requires no k8s.io/kubernetes; name its version there.")
    return found[1]


def find_binaries() -> Binaries:
    """The programs as they are, complete or not; nothing is built."""
    return Binaries(get_cache() / f"kubernetes-{read_version()}")


def build_binaries() -> Binaries:
    """Build what is missing. Two callers at once build it once."""
    binaries = find_binaries()
    binaries.folder.mkdir(parents=True, exist_ok=True)
    with (binaries.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in binaries.missing:
            print(f"building {name}", file=sys.stderr, flush=True)
            if name in HELM_VERSIONS:
                _build_helm(binaries.folder, name)
            else:
                _build_kubernetes(binaries.folder, name)
    return binaries


def _build_kubernetes(folder: Path, name: str) -> None:
    version = read_version()
    major, minor, _ = version.split(".", 2)
    # without its version in it, a server says v0.0.0, and every kubeVersion of a chart refuses it
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = " ".join(
        f"-X k8s.io/{package}.{fact}={value}"
        for package in ("component-base/version", "client-go/pkg/version")
        for fact, value in facts.items()
    )
    unfinished = folder / f".{name}"
    flags = ["-trimpath", "-ldflags", f"-s -w {stamps}", "-o", str(unfinished)]
    _run_go(["build", *flags, f"k8s.io/kubernetes/cmd/{name}"], {})
    unfinished.rename(folder / name)


def _build_helm(folder: Path, name: str) -> None:
    unfinished = folder / f".{name}"
    _run_go(["install", "-trimpath", "-ldflags", "-s -w", HELM_VERSIONS[name]], {"GOBIN": str(unfinished)})
    (unfinished / "helm").rename(folder / name)
    shutil.rmtree(unfinished)


def _run_go(arguments: list[str], more: dict[str, str]) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false", **more}
    if arguments[0] == "build":
        environment["GOFLAGS"] = "-mod=readonly -buildvcs=false"
    subprocess.run(["nice", "-n", "19", "go", *arguments], cwd=TOOLS, env=environment, check=True)


if __name__ == "__main__":
    print(build_binaries().folder)
