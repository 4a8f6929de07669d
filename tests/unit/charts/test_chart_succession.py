"""An upgrade that ends a chain: which Jobs it has, in which order, and that every pod goes over to the successor."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chart import Item, find, get_environment, get_pod, list_names, list_pods, render, render_example

LIVE = {"generation": 3, "validators": 4}
BEFORE = ("r1-flobc-chain-3", "r1-flobc-validator-keys-3", "r1-flobc-invitation-3")
AFTER = tuple(f"{name[:-1]}4" for name in BEFORE)
SERVICES = ("trainer", "validator", "ledger", "explorer")


def render_upgrade(validators: int, **values: Any) -> list[Item]:
    succession = {"autoApprove": True, "live": LIVE}
    return render({"validators": {"replicas": validators}, "succession": succession, **values})


def list_mounted(items: list[Item]) -> set[str]:
    """Names of the ConfigMaps and Secrets that the services' pods mount."""
    found = set()
    for _, labels, pod in list_pods(items):
        if labels["app.kubernetes.io/component"] in SERVICES:
            for volume in pod["volumes"]:
                found.add(volume.get("configMap", {}).get("name"))
                found.add(volume.get("secret", {}).get("secretName"))
    return found


@pytest.mark.parametrize(("validators", "names"), [(4, BEFORE), (7, AFTER), (3, AFTER)])
def test_every_pod_is_of_the_newest_generation(validators: int, names: tuple[str, ...]) -> None:
    mounted = list_mounted(render_upgrade(validators))
    assert set(names) <= mounted
    assert not mounted & ({*BEFORE, *AFTER} - set(names))
    assert "r1-flobc-trainer-keys" in mounted, "founders keep their keys"


def test_without_another_number_there_is_no_succession() -> None:
    for items in (render({}), render_upgrade(4)):
        assert not any("succession" in name for name in list_names(items, "Job"))
        assert "r1-flobc-succession" not in list_names(items, "Role")
        assert "r1-flobc-succession" in list_names(items, "NetworkPolicy"), "it is there before the Jobs are"


def test_the_jobs_run_one_after_the_other_after_their_rights_are_there() -> None:
    items = render_example("succession")
    names = ["begin", *(f"approve-{index}" for index in range(4)), "complete"]
    jobs = [find(items, "Job", f"r1-flobc-succession-{name}") for name in names]
    weights = [int(job["metadata"]["annotations"]["helm.sh/hook-weight"]) for job in jobs]
    assert weights == [-3, -2, -2, -2, -2, -1]
    for kind in ("ServiceAccount", "Role", "RoleBinding", "ConfigMap"):
        found = find(items, kind, "r1-flobc-succession")["metadata"]["annotations"]
        assert int(found["helm.sh/hook-weight"]) < weights[0]
    assert {job["metadata"]["annotations"]["helm.sh/hook"] for job in jobs} == {"pre-upgrade"}
    genesis = find(items, "Job", "r1-flobc-genesis")["metadata"]["annotations"]
    assert int(genesis["helm.sh/hook-weight"]) < weights[0]


def test_each_old_validator_approves_on_its_own_volume_and_nobody_else_s() -> None:
    items = render_upgrade(7)
    for index in range(4):
        pod = get_pod(items, f"r1-flobc-succession-approve-{index}")
        claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
        assert claims == [{"claimName": f"data-r1-flobc-validator-{index}"}]
        told = get_environment(pod)
        assert (told["INDEX"], told["APPROVAL"]) == (str(index), f"r1-flobc-succession-4-approval-{index}")
        assert not any("secret" in volume for volume in pod["volumes"])


def test_the_account_reads_what_it_needs_and_changes_nothing_that_is_there() -> None:
    rules = find(render_upgrade(7), "Role", "r1-flobc-succession")["rules"]
    verbs = {verb for rule in rules for verb in rule["verbs"]}
    assert verbs == {"create", "get", "delete", "list"}
    for rule in rules:
        if {"get", "delete"} & set(rule["verbs"]):
            assert rule["resourceNames"]
    (deleted,) = [rule for rule in rules if "delete" in rule["verbs"]]
    assert (deleted["resources"], deleted["resourceNames"]) == (["statefulsets"], ["r1-flobc-validator"])
    readable = {name for rule in rules if "secrets" in rule["resources"] for name in rule.get("resourceNames", [])}
    assert readable == {BEFORE[1], AFTER[1], AFTER[2], "r1-flobc-operator-key"}


def test_keys_that_somebody_brings_stay_where_they_are() -> None:
    validators = {"replicas": 7, "existingKeysSecret": "committee"}
    items = render({"validators": validators, "succession": {"autoApprove": True, "live": LIVE}})
    told = get_environment(get_pod(items, "r1-flobc-succession-begin"))
    assert (told["KEYS"], told["NEXT_KEYS"]) == ("committee", "committee")
    assert "committee" in list_mounted(items)


def test_a_revision_knows_which_successor_would_bar_the_way_back_to_it() -> None:
    """The genesis Job runs before a rollback too."""
    for items, successor in ((render({}), "r1-flobc-chain-2"), (render_upgrade(7), "r1-flobc-chain-5")):
        job = find(items, "Job", "r1-flobc-genesis")
        assert "pre-rollback" in job["metadata"]["annotations"]["helm.sh/hook"].split(",")
        assert get_environment(get_pod(items, "r1-flobc-genesis"))["SUCCESSOR"] == successor


def test_a_job_that_refuses_is_not_tried_again() -> None:
    """It ends with 2, and says what somebody has to change."""
    items = render_example("succession")
    jobs = [item for item in items if item["kind"] == "Job"]
    assert len(jobs) == 7
    for job in jobs:
        (rule,) = job["spec"]["podFailurePolicy"]["rules"]
        pod = job["spec"]["template"]["spec"]
        assert rule["action"] == "FailJob"
        assert rule["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
        assert (rule["onExitCodes"]["operator"], rule["onExitCodes"]["values"]) == ("In", [2])
        assert pod["restartPolicy"] == "Never", "Kubernetes takes such a policy with no other"
