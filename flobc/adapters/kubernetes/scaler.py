"""The port Scaler over the StatefulSets of a release."""

from __future__ import annotations

from typing import Any

from flobc.adapters.kubernetes.client import COMPONENT, INSTANCE, TIMEOUT_S, Cluster, in_our_words
from flobc.errors import UsageError
from flobc.ports.scaler import ScaledRole
from flobc.protocol.params import get_quorum


class KubernetesScaler:
    """Scales a release through ``/scale``, as ``kubectl scale`` does; autoscalers are left their own way.

    Which StatefulSet is which role's is told by the chart's labels.
    """

    def __init__(self, cluster: Cluster, namespace: str, release: str) -> None:
        self._cluster, self._namespace, self._release = cluster, namespace, release

    def get_replicas(self, role: ScaledRole) -> int:
        """Return how many pods of a role there are to be. **Raises** UsageError when there is no such release."""
        return int(self._find(role).spec.replicas)

    def validate_replicas(self, role: ScaledRole, replicas: int) -> None:
        """Check that so many pods can run, and that no autoscaler has the say. **Raises** UsageError."""
        if replicas < 0:
            raise UsageError(f"There cannot be {replicas} {role}s; give a number from 0 on.")
        found = self._find(role)
        if replicas == found.spec.replicas:
            return
        name = found.metadata.name
        autoscaler = self._find_autoscaler(name)
        if autoscaler is not None:
            raise UsageError(
                f"The autoscaler {autoscaler} in {self._namespace} scales {name} and would undo this; delete it first "
                f"(kubectl -n {self._namespace} delete hpa {autoscaler}), or scale by its minReplicas and maxReplicas."
            )
        if role == "validator":
            self._validate_validators(found, replicas)

    def _validate_validators(self, found: Any, replicas: int) -> None:
        members, own = _count_members(found)
        quorum, left = get_quorum(members), members - own + replicas
        if replicas > own:
            raise UsageError(
                f"Release {self._release} has {own} of its chain's validators for the chain's life, so there cannot be "
                f"{replicas}; a successor may have more: flobc scale --validators {replicas} --release {self._release} "
                "--chart CHART (docs/kubernetes.md)."
            )
        if left < quorum:
            raise UsageError(
                f"Of the chain's {members} validators {quorum} must agree on every block, so with {replicas} in "
                f"release {self._release} the chain would stop; leave {quorum - members + own} at least."
            )

    def set_replicas(self, role: ScaledRole, replicas: int) -> None:
        """Patch the StatefulSet's scale. **Raises** UsageError, TransientError."""
        self.validate_replicas(role, replicas)
        found = self._find(role)
        if replicas == found.spec.replicas:
            return
        with in_our_words(f"scale {found.metadata.name}"):
            self._cluster.apps.patch_namespaced_stateful_set_scale(
                found.metadata.name, self._namespace, {"spec": {"replicas": replicas}}, _request_timeout=TIMEOUT_S
            )

    def is_ready(self, role: ScaledRole) -> bool:
        """Return whether all pods that are to be are ready and no more are left. **Raises** TransientError."""
        found = self._find(role)
        status, wanted = found.status, found.spec.replicas
        seen = (status.observed_generation or 0) >= (found.metadata.generation or 0)
        return bool(seen and (status.replicas or 0) == wanted and (status.ready_replicas or 0) == wanted)

    def _find(self, role: ScaledRole) -> Any:
        with in_our_words(f"list the StatefulSets of {self._namespace}"):
            found = self._cluster.apps.list_namespaced_stateful_set(
                self._namespace,
                label_selector=f"{INSTANCE}={self._release},{COMPONENT}={role}",
                _request_timeout=TIMEOUT_S,
            ).items
        if len(found) != 1:
            raise UsageError(
                f"There is no release {self._release} with {role}s in namespace {self._namespace}; see: helm list "
                f"--namespace {self._namespace}"
                if not found
                else f"Release {self._release} has {len(found)} StatefulSets of {role}s in namespace "
                f"{self._namespace}, and only one can be scaled; are two installations called alike?"
            )
        return found[0]

    def _find_autoscaler(self, name: str) -> str | None:
        with in_our_words(f"list the autoscalers of {self._namespace}"):
            listed = self._cluster.autoscaling.list_namespaced_horizontal_pod_autoscaler(
                self._namespace, _request_timeout=TIMEOUT_S
            ).items
        for each in listed:
            target = each.spec.scale_target_ref
            if (target.kind, target.name) == ("StatefulSet", name):
                return str(each.metadata.name)
        return None


def _count_members(found: Any) -> tuple[int, int]:
    """How many validators the chain has, and how many of them are this release's, by what the chart tells each.

    The chain's are as many as there are shards among them; a release's own are those whose address begins with the
    StatefulSet's name.
    """
    told = {
        variable.name: variable.value or ""
        for container in found.spec.template.spec.containers
        for variable in container.env or ()
    }
    shards, addresses = told.get("FLOBC_SHARDS", ""), told.get("FLOBC_VALIDATORS", "").split(",")
    members = int(shards) if shards.isdigit() else int(found.spec.replicas)
    own = sum(address.startswith(f"{found.metadata.name}-") for address in addresses)
    return members, own or members
