"""The target of a load plan that is a Helm release on Kubernetes, or one for each number of validators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from flobc.adapters.kubernetes import Cluster, KubernetesScaler, PodForward, PodMeter
from flobc.composition.scaling.plan import LoadPlan, Step
from flobc.composition.scaling.targets import Say, Site, restoring

LEDGER_PORT = 7000
"""Where the chart's ledgers serve."""
VALIDATORS = "{validators}"


@dataclass(frozen=True)
class Access:
    """What of the release is reached otherwise than through the API: a ledger, and Kafka."""

    ledger: str | None = None
    kafka: str | None = None


class Release:
    """A release whose trainers and validators are scaled, and restored in the end.

    ``release`` may contain ``{validators}``: then the steps with so many are measured on the release of that name,
    because a chain has its validators for its life.
    """

    def __init__(
        self, cluster: Cluster, namespace: str, release: str, plan: LoadPlan, access: Access, say: Say
    ) -> None:
        self.name = f"release {release} in namespace {namespace}"
        self._cluster, self._namespace, self._release = cluster, namespace, release
        self._plan, self._access, self._say = plan, access, say

    def validate(self, steps: Sequence[Step]) -> None:
        """Check that every step can be had. **Raises** UsageError, TransientError."""
        for step in steps:
            scaler = self._build_scaler(step)
            scaler.validate_replicas("validator", step.validators)
            scaler.validate_replicas("trainer", step.trainers)

    def name_site(self, step: Step) -> str:
        """Return the release's name."""
        return self._release.replace(VALIDATORS, str(step.validators))

    @contextmanager
    def open(self, step: Step) -> Iterator[Site]:
        """The release with a way to its ledgers; its replicas are restored in the end."""
        release, scaler = self.name_site(step), self._build_scaler(step)
        with ExitStack() as closing:
            ledger = self._access.ledger
            if ledger is None:
                forward = PodForward(self._cluster, self._namespace, release, "ledger", LEDGER_PORT)
                ledger = closing.enter_context(forward).address
            closing.enter_context(restoring(scaler, self._say, self._plan.ready_timeout_s))
            meter = PodMeter(self._cluster, self._namespace, release)
            yield Site(scaler, meter, tuple(ledger.split(",")), self._access.kafka, is_new=False)

    def _build_scaler(self, step: Step) -> KubernetesScaler:
        return KubernetesScaler(self._cluster, self._namespace, self.name_site(step))
