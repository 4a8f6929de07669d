"""The chart renders, is valid for several Kubernetes versions, and refuses wrong values by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk")
validator = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
yaml = pytest.importorskip("yaml", reason="needs pyyaml")

CHART = Path(__file__).resolve().parents[3] / "charts" / "flobc"
VERSIONS = ("1.28", "1.33", "1.37")
ROLES = ("trainer", "validator", "ledger", "kafka", "redis")


def render(values: dict[str, Any], name: str = "r1") -> list[dict[str, Any]]:
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(values, name=name, namespace="prod")
    return [item for path, text in texts.items() if path.endswith(".yaml") for item in yaml.safe_load_all(text) if item]


def find(items: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(item for item in items if (item["kind"], item["metadata"]["name"]) == (kind, name))


def list_pods(items: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in items:
        if "template" in item.get("spec", {}):
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]


def get_environment(pod: dict[str, Any]) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in pod["containers"][0].get("env", [])}


def test_lint_finds_no_error() -> None:
    assert helm.lint(str(CHART), {}, strict=True, kube_version="v1.33.0")["errors"] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str) -> None:
    items = render({})
    assert len(items) > 15
    for item in items:
        validator.validate(item, version, strict=True)


def test_every_pod_is_restricted() -> None:
    """The rules of the "restricted" Pod Security standard, and a root file system that nobody writes to."""
    pods = dict(list_pods(render({})))
    assert {name.split("-")[2] for name in pods} == {*ROLES, "genesis"}
    for name, pod in pods.items():
        assert pod["enableServiceLinks"] is False, name
        assert pod["automountServiceAccountToken"] is ("genesis" in name), name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"] + pod.get("initContainers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert set(container["resources"]["requests"]) == {"cpu", "memory"}, name
            assert not container["image"].endswith(":latest"), name
            assert ":" in container["image"], name


def test_only_init_containers_see_everybody_s_keys() -> None:
    for name, pod in list_pods(render({})):
        secret = {volume["name"] for volume in pod.get("volumes", []) if "secret" in volume}
        assert len(secret) == (1 if name in ("r1-flobc-trainer", "r1-flobc-validator") else 0)
        for container in pod["containers"]:
            assert secret.isdisjoint(mount["name"] for mount in container["volumeMounts"])


def test_each_service_is_told_exactly_what_its_settings_ask_for() -> None:
    from flobc.composition.services.settings import (  # noqa: PLC0415 - only where the chart is rendered
        LedgerSettings,
        TrainerSettings,
        ValidatorSettings,
    )

    pods = dict(list_pods(render({})))
    kinds = {"trainer": TrainerSettings, "validator": ValidatorSettings, "ledger": LedgerSettings}
    for role, kind in kinds.items():
        given = {name for name in get_environment(pods[f"r1-flobc-{role}"]) if name.startswith("FLOBC_")}
        known = {f"FLOBC_{name.upper()}": field.is_required() for name, field in kind.model_fields.items()}
        assert given <= set(known), role
        assert {name for name, required in known.items() if required} <= given, role


def test_counts_reach_genesis_shards_and_addresses_alike() -> None:
    items = render({"trainers": {"replicas": 7}, "validators": {"replicas": 3}})
    pods = dict(list_pods(items))
    arguments = pods["r1-flobc-genesis-1"]["containers"][0]["args"]
    assert arguments[arguments.index("--trainers") + 1] == "7"
    assert arguments[arguments.index("--validators") + 1] == "3"
    for role, count in (("trainer", 7), ("validator", 3)):
        assert find(items, "StatefulSet", f"r1-flobc-{role}")["spec"]["replicas"] == count
        assert get_environment(pods[f"r1-flobc-{role}"])["FLOBC_SHARDS"] == str(count)
    addresses = get_environment(pods["r1-flobc-ledger"])["FLOBC_VALIDATORS"].split(",")
    assert addresses == [f"r1-flobc-validator-{index}.r1-flobc-validator:7000" for index in range(3)]


def test_a_large_seed_is_written_out() -> None:
    pods = dict(list_pods(render({"chain": {"seed": 12_345_678}})))
    assert get_environment(pods["r1-flobc-trainer"])["FLOBC_SEED"] == "12345678"
    assert "12345678" in pods["r1-flobc-genesis-1"]["containers"][0]["args"]


def test_the_genesis_job_s_options_are_those_of_the_command() -> None:
    from flobc.cli.commands import build_parser  # noqa: PLC0415
    from flobc.cli.options import read_options  # noqa: PLC0415
    from flobc.cli.parser import parse  # noqa: PLC0415

    pods = dict(list_pods(render({"chain": {"options": ["--sync", "ssp"]}})))
    arguments = pods["r1-flobc-genesis-1"]["containers"][0]["args"]
    given = read_options(vars(parse(build_parser(), ["genesis", "new", "--dir", "chain", *arguments])))
    assert {option.name for option, _ in given.values} == {
        "task", "seed", "sharding", "trainers", "validators", "sync",
    }  # fmt: skip


def test_two_releases_share_no_name() -> None:
    first, second = ({(item["kind"], item["metadata"]["name"]) for item in render({}, name)} for name in ("a", "b"))
    assert first.isdisjoint(second)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"trainer": {"replicas": 3}}, "trainer"),
        ({"trainers": {"replicas": 0}}, "trainers/replicas"),
        ({"trainers": {"replicas": "3"}}, "trainers/replicas"),
        ({"validators": {"replicas": 4, "size": 1}}, "size"),
        ({"validators": {"storage": "2 gigabytes"}}, "validators/storage"),
        ({"chain": {"seed": -1}}, "chain/seed"),
        ({"chain": {"options": "--sync ssp"}}, "chain/options"),
        ({"logLevel": "chatty"}, "logLevel"),
        ({"image": {"pullPolicy": "Sometimes"}}, "image/pullPolicy"),
        ({"kafka": {"image": {"name": "kafka"}}}, "kafka/image"),
        ({"kafka": {"heap": "a lot"}}, "kafka/heap"),
        ({"redis": {"resources": {"limits": {"memory": "much"}}}}, "redis/resources/limits/memory"),
    ],
)
def test_invalid_values_are_refused_by_name(values: dict[str, Any], key: str) -> None:
    with pytest.raises(helm.HelmError) as refused:
        render(values)
    assert key in str(refused.value)
