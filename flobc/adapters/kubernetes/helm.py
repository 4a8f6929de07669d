"""An upgrade of a release, by the program ``helm``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from flobc.errors import UsageError


@dataclass(frozen=True)
class HelmRelease:
    """A release, the chart that it is upgraded with, and how its cluster is reached."""

    chart: str
    release: str
    namespace: str
    kubeconfig: str | None = None
    context: str | None = None

    def upgrade(self, values: Mapping[str, str], timeout_s: float) -> None:
        """Change some values, keep the others, and return when the Jobs before the upgrade have done their work.

        **Raises** UsageError with Helm's own words when it refuses, or when there is no Helm.
        """
        helm = shutil.which("helm")
        if helm is None:
            raise UsageError("There is no helm on the PATH to upgrade the release with; install Helm 3.14 or newer.")
        command = [helm, "upgrade", self.release, self.chart, "--namespace", self.namespace]
        command += ["--reset-then-reuse-values", "--timeout", f"{timeout_s:.0f}s"]
        for flag, given in (("--kubeconfig", self.kubeconfig), ("--kube-context", self.context)):
            command += [] if given is None else [flag, given]
        for name, value in values.items():
            command += ["--set", f"{name}={value}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UsageError(f"helm upgrade {self.release} failed: {done.stderr.strip() or done.stdout.strip()}")
