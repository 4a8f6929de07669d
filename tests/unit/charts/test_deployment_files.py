"""What stands around the chart: skaffold.yaml, ``k8s/`` and the Makefile's targets."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.chart import CHART, ROOT, find, list_pods, render, render_example, yaml

SCHEMAS = Path(os.environ.get("FLOBC_SCHEMAS", ROOT.parent / "shared" / "schemas"))
"""Where schemas of other projects lie, in files named as theirs; what needs one is skipped where it is not."""


def load_skaffold() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    return loaded


def patch(config: dict[str, Any], profile: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration under a profile, whose patches only add."""
    patched: dict[str, Any] = json.loads(json.dumps(config))
    for change in profile["patches"]:
        place: Any = patched
        *path, last = change["path"].strip("/").split("/")
        for key in path:
            place = place[int(key)] if isinstance(place, list) else place[key]
        assert change["op"] == "add"
        place[last] = change["value"]
    return patched


def find_schema(name: str) -> dict[str, Any]:
    if not (SCHEMAS / name).exists():
        pytest.skip(f"{name} is not in {SCHEMAS}; FLOBC_SCHEMAS names where it is")
    text = (SCHEMAS / name).read_text()
    loaded: dict[str, Any] = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    return loaded


def test_skaffold_s_file_is_valid_under_every_profile() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    checker = jsonschema.Draft7Validator(find_schema("skaffold-v4beta13.json"))
    config = load_skaffold()
    for each in (config, *(patch(config, profile) for profile in config["profiles"])):
        errors = [error.message for error in checker.iter_errors(each)]
        assert not errors, errors[0]


def test_skaffold_builds_what_the_chart_runs_and_sets_values_that_there_are() -> None:
    config = load_skaffold()
    assert {profile["name"] for profile in config["profiles"]} == {"kind", "dev", "loadtest"}
    roles = {name.removeprefix("flobc-") for name in (each["image"] for each in config["build"]["artifacts"])}
    assert roles == set(yaml.safe_load((CHART / "values.yaml").read_text())["image"]["references"])
    for artifact in config["build"]["artifacts"]:
        assert (ROOT / artifact["docker"]["dockerfile"]).exists()
    schema = json.loads((CHART / "values.schema.json").read_text())
    for each in (config, *(patch(config, profile) for profile in config["profiles"])):
        (release,) = each["deploy"]["helm"]["releases"]
        for key in (*release["setValueTemplates"], *release.get("setValues", {})):
            place = schema
            for part in key.split("."):
                place = place["properties"][part]
        for path in (release["chartPath"], *release.get("valuesFiles", [])):
            assert (ROOT / path).exists()
        render(release.get("setValues", {}))


def test_what_skaffold_verifies_by_may_ask_the_ledgers_and_is_restricted() -> None:
    job = yaml.safe_load((ROOT / "k8s" / "verify-job.yaml").read_text())
    template = job["spec"]["template"]
    allowed = find(render({}, "flobc"), "NetworkPolicy", "flobc-test")["spec"]["podSelector"]["matchLabels"]
    assert allowed.items() <= template["metadata"]["labels"].items()
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert template["spec"]["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_under_development_a_service_runs_from_a_volume_that_holds_its_image_s_code() -> None:
    for name, labels, pod in list_pods(render_example("development")):
        if labels["app.kubernetes.io/component"] in ("trainer", "validator", "ledger", "explorer"):
            (filler,) = [each for each in pod["initContainers"] if each["name"] == "code"]
            (service,) = pod["containers"]
            assert filler["image"] == service["image"], name
            assert {"name": "code", "mountPath": "/app"} in service["volumeMounts"], name
            assert {"name": "code", "mountPath": "/code"} in filler["volumeMounts"], name


def test_what_operators_take_is_valid() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs jsonschema")
    crd = find_schema("crd-podmonitors.yaml")
    version = next(each for each in crd["spec"]["versions"] if each["name"] == "v1")
    monitor = find(render_example("everything"), "PodMonitor", "r1-flobc")
    jsonschema.validate(monitor, version["schema"]["openAPIV3Schema"])


def test_the_makefile_names_files_that_are_there() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))
    assert {"kind-up", "images", "up", "scale", "load", "down", "charts"} <= targets
    for path in re.findall(r"(?:k8s|charts|tools)/[\w./-]+\.(?:yaml|py)", text):
        assert (ROOT / path).exists(), path
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert re.search(r"^TAG \?= (.*)$", text, re.MULTILINE).group(1) == version  # type: ignore[union-attr]


def test_the_kind_values_fit_four_processors_and_eight_gibibytes() -> None:
    millicores = mebibytes = 0.0
    for item in render_example("kind"):
        if item["kind"] in ("StatefulSet", "Deployment"):
            for container in item["spec"]["template"]["spec"]["containers"]:
                requests, limits = container["resources"]["requests"], container["resources"]["limits"]
                millicores += item["spec"]["replicas"] * float(requests["cpu"].removesuffix("m"))
                mebibytes += item["spec"]["replicas"] * float(limits["memory"].removesuffix("Mi"))
    assert millicores <= 3000
    assert mebibytes <= 8192 - 512  # what Kubernetes itself takes
