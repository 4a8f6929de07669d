"""The rules that hold for every object and pod of every values file that is tried."""

import functools
import itertools
import json
from typing import Any

import pytest

from tests.support.chart import (
    CHART,
    EXAMPLES,
    JOBS,
    Item,
    find,
    helm,
    list_names,
    list_pods,
    load_values,
    render_example,
)

validator = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")

VERSIONS = ("1.28", "1.33", "1.37")
MONITORING = "monitoring.coreos.com/v1"
KEEP = {"helm.sh/resource-policy": "keep"}

every_example = pytest.mark.parametrize("example", EXAMPLES)


def list_containers(pod: Item) -> list[Item]:
    return [*pod["containers"], *pod.get("initContainers", [])]


@every_example
def test_lint_finds_nothing(example: str) -> None:
    found = helm.lint(str(CHART), load_values(example), strict=True, kube_version="v1.33.0")
    assert found["errors"] == []


@functools.cache
def list_different_objects() -> list[Item]:
    """Every object once; those of operators' own kinds have schemas elsewhere."""
    items = itertools.chain.from_iterable(map(render_example, EXAMPLES))
    found = {json.dumps(item, sort_keys=True): item for item in items if item["apiVersion"] != MONITORING}
    return list(found.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    assert len(list_different_objects()) > 100
    for item in list_different_objects():
        validator.validate(item, version, strict=True)


@every_example
def test_every_pod_is_restricted(example: str) -> None:
    """The rules of the "restricted" Pod Security standard, and a root file system that nobody writes to."""
    for name, _, pod in list_pods(render_example(example)):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] > 0, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        for volume in pod.get("volumes", []):
            kinds = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
            assert len(kinds & volume.keys()) == 1, f"{name}: {volume}"
        for container in list_containers(pod):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


@every_example
def test_every_pod_says_what_it_takes_of_its_machine(example: str) -> None:
    for name, _, pod in list_pods(render_example(example)):
        for container in list_containers(pod):
            resources = container["resources"]
            assert {"cpu", "memory"} <= resources["requests"].keys(), name
            assert "memory" in resources["limits"], name
            image = container["image"].rpartition("/")[2]
            assert ":" in image, name
            assert not image.endswith(":latest"), name


@every_example
def test_an_account_s_token_is_mounted_only_where_kubernetes_is_asked(example: str) -> None:
    items = render_example(example)
    accounts = list_names(items, "ServiceAccount")
    for name, labels, pod in list_pods(items):
        role = labels["app.kubernetes.io/component"]
        assert pod["enableServiceLinks"] is False, name
        assert pod["serviceAccountName"] in accounts, name
        assert pod["automountServiceAccountToken"] is (role in ("genesis", "succession", "scale")), name
    for item in items:
        if item["kind"] == "ServiceAccount":
            assert item["automountServiceAccountToken"] is False
    bound = {subject["name"] for item in items if item["kind"] == "RoleBinding" for subject in item["subjects"]}
    assert {name.rpartition("-")[2] for name in bound} <= {"genesis", "succession", "scale"}


@every_example
def test_every_service_is_probed_and_has_time_to_end(example: str) -> None:
    for name, labels, pod in list_pods(render_example(example)):
        role = labels["app.kubernetes.io/component"]
        if role in JOBS:
            continue
        (container,) = pod["containers"]
        assert {"livenessProbe", "readinessProbe"} <= container.keys(), name
        assert role == "redis" or "startupProbe" in container, name
        least_s = 15 if role == "explorer" else 30  # the services end within 10 seconds, and 3 before
        assert pod["terminationGracePeriodSeconds"] >= least_s, name


def test_what_serves_grpc_is_probed_by_grpc_unless_it_asks_for_certificates() -> None:
    for example in ("default", "secured"):
        for name, labels, pod in list_pods(render_example(example)):
            if labels["app.kubernetes.io/component"] in ("validator", "ledger"):
                probes = [pod["containers"][0][f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
                assert all("grpc" in probe for probe in probes) is (example == "default"), name


@every_example
def test_an_explorer_has_minutes_to_start_and_is_ready_when_it_has_the_chain(example: str) -> None:
    for name, labels, pod in list_pods(render_example(example)):
        if labels["app.kubernetes.io/component"] == "explorer":
            (container,) = pod["containers"]
            probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
            paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
            assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}, name
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert {ports[probe["httpGet"]["port"]] for probe in probes.values()} == {8080}, name
            assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] >= 300, name


@every_example
def test_no_service_sees_another_node_s_key(example: str) -> None:
    for name, labels, pod in list_pods(render_example(example)):
        keys = {
            volume["name"]
            for volume in pod.get("volumes", [])
            if "secret" in volume and not volume["name"].startswith("secret-")
        }
        assert not keys or labels["app.kubernetes.io/component"] in ("trainer", "validator"), name
        for container in pod["containers"]:
            assert keys.isdisjoint(mount["name"] for mount in container.get("volumeMounts", [])), name


@every_example
def test_every_mount_has_its_volume(example: str) -> None:
    items = render_example(example)
    claims = {
        item["metadata"]["name"]: {claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])}
        for item in items
        if item["kind"] == "StatefulSet"
    }
    for name, _, pod in list_pods(items):
        volumes = {volume["name"] for volume in pod.get("volumes", [])} | claims.get(name, set())
        for container in list_containers(pod):
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounts <= volumes, f"{name}: {mounts - volumes}"
            variables = [entry["name"] for entry in container.get("env", [])]
            assert len(variables) == len(set(variables)), name


@every_example
def test_every_config_map_that_is_mounted_is_there_or_was_asked_for(example: str) -> None:
    items = render_example(example)
    genesis = load_values(example).get("genesis", {})
    there = list_names(items, "ConfigMap") | {genesis.get("existingConfigMap"), "r1-flobc-chain", "lab-chain"}
    if example == "succession":
        there |= {"r1-flobc-chain-2", "r1-flobc-succession-2"}
    for name, _, pod in list_pods(items):
        for volume in pod.get("volumes", []):
            assert "configMap" not in volume or volume["configMap"]["name"] in there, f"{name}: {volume}"


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


@every_example
def test_every_selector_finds_the_pods_of_one_role(example: str) -> None:
    items = render_example(example)
    pods = list(list_pods(items))
    for item in items:
        spec = item.get("spec", {})
        selector = spec.get("selector") if item["kind"] == "Service" else spec.get("selector", {}).get("matchLabels")
        if item["kind"] in ("Service", "PodDisruptionBudget", "Deployment", "StatefulSet"):
            assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == "r1"
            found = {labels["app.kubernetes.io/component"] for _, labels, _ in pods if matches(selector, labels)}
            assert found == {item["metadata"]["labels"]["app.kubernetes.io/component"]}
    for name, labels, _ in pods:
        is_test = labels["app.kubernetes.io/component"] == "test"
        assert is_test or "helm.sh/chart" not in labels, f"{name} would restart with every version of the chart"
        assert labels["app.kubernetes.io/name"] == "flobc", name


@every_example
def test_what_outlives_the_release_says_so(example: str) -> None:
    for item in render_example(example):
        for claim in item.get("spec", {}).get("volumeClaimTemplates", []):
            assert claim["metadata"]["annotations"] == KEEP
            assert claim["metadata"]["labels"]["app.kubernetes.io/instance"] == "r1"
        if item["kind"] == "StatefulSet":
            retention = item["spec"]["persistentVolumeClaimRetentionPolicy"]
            assert retention == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        hook = item["metadata"].get("annotations", {})
        if "helm.sh/hook" in hook:
            goes = "hook-succeeded" in hook["helm.sh/hook-delete-policy"]
            assert "before-hook-creation" in hook["helm.sh/hook-delete-policy"], item["metadata"]["name"]
            assert goes is (hook["helm.sh/hook"] != "test"), "helm test --logs reads the logs of pods that are there"


@every_example
def test_equal_pods_go_to_different_nodes(example: str) -> None:
    for name, labels, pod in list_pods(render_example(example)):
        if labels["app.kubernetes.io/component"] in ("trainer", "validator", "ledger", "explorer"):
            (constraint,) = pod["topologySpreadConstraints"]
            assert matches(constraint["labelSelector"]["matchLabels"], labels), name


@every_example
def test_each_service_is_told_exactly_what_its_settings_ask_for(example: str) -> None:
    from flobc.composition.services.settings import (  # noqa: PLC0415 - only where the chart is rendered
        ExplorerSettings,
        LedgerSettings,
        TrainerSettings,
        ValidatorSettings,
    )

    kinds: dict[str, Any] = {"trainer": TrainerSettings, "validator": ValidatorSettings, "ledger": LedgerSettings}
    kinds |= {"explorer": ExplorerSettings}
    for name, labels, pod in list_pods(render_example(example)):
        kind = kinds.get(labels["app.kubernetes.io/component"])
        if kind is not None:
            entries = [entry["name"] for entry in pod["containers"][0]["env"]]
            given = {entry for entry in entries if entry.startswith("FLOBC_")}
            known = {f"FLOBC_{field.upper()}": about.is_required() for field, about in kind.model_fields.items()}
            assert given <= known.keys(), name
            assert {field for field, required in known.items() if required} <= given, name


@every_example
def test_a_budget_leaves_a_quorum(example: str) -> None:
    """quorum(n) = floor(2n/3) + 1; below 4 validators there is no budget, for it would stop a drain for ever."""
    items = render_example(example)
    values = load_values(example)
    budgets = {item["metadata"]["name"]: item["spec"] for item in items if item["kind"] == "PodDisruptionBudget"}
    total = values.get("validators", {}).get("total") or {"ratio": 3, "succession": 7}.get(example, 4)
    release = values.get("fullnameOverride", "r1-flobc")
    if total < 4 or f"{release}-validator" not in list_names(items, "StatefulSet"):
        assert f"{release}-validator" not in budgets
    else:
        assert total - budgets[f"{release}-validator"]["maxUnavailable"] >= 2 * total // 3 + 1
    more_than_one = values.get("ledgers", {}).get("replicas", 1) > 1 or "autoscaling" in values.get("ledgers", {})
    assert (f"{release}-ledger" in budgets) is more_than_one
    assert (f"{release}-explorer" in budgets) is (values.get("explorer", {}).get("replicas", 1) > 1)


def test_the_default_is_the_whole_federation() -> None:
    items = render_example("default")
    assert find(items, "StatefulSet", "r1-flobc-validator")["spec"]["replicas"] == 4
    assert find(items, "StatefulSet", "r1-flobc-trainer")["spec"]["replicas"] == 6
    assert find(items, "Deployment", "r1-flobc-ledger")["spec"]["replicas"] == 1
    assert find(items, "Deployment", "r1-flobc-explorer")["spec"]["replicas"] == 1
    assert {"r1-flobc-kafka", "r1-flobc-redis"} <= list_names(items, "StatefulSet")


@every_example
def test_a_founder_never_starts_without_its_key(example: str) -> None:
    """A Secret that is made here is waited for; else the founder would make itself another key."""
    values = load_values(example)
    for name, labels, pod in list_pods(render_example(example)):
        if labels["app.kubernetes.io/component"] in ("trainer", "validator"):
            (keys,) = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "keys"]
            assert keys.get("optional", False) is (example == "organisation" and name.endswith("trainer")), name
            invitations = [volume["secret"] for volume in pod["volumes"] if volume["name"] == "invitation"]
            for invitation in invitations:
                is_invited = values.get("genesis", {}).get("admission", "invite") == "invite"
                assert invitation["optional"] is not is_invited, name
