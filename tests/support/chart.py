"""The chart, rendered: by the real Helm of a wheel, without a cluster."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk")
yaml = pytest.importorskip("yaml", reason="needs pyyaml")

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "flobc"
EXAMPLES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))} | {
    "kind": ROOT / "k8s" / "values-kind.yaml"
}
"""Values files that are tried: those beside the chart, and those of ``k8s/``."""

Item = dict[str, Any]
JOBS = ("genesis", "succession", "scale", "test")


@functools.cache
def load_chart() -> Any:
    return helm.Chart.load(str(CHART))


def render_files(values: Item, name: str = "r1", namespace: str = "prod") -> dict[str, str]:
    """Return what each template becomes. **Raises** HelmError for values that are refused."""
    found: dict[str, str] = load_chart().render(values, name=name, namespace=namespace)
    return {path.removeprefix("flobc/templates/"): text for path, text in found.items()}


def render(values: Item, name: str = "r1") -> list[Item]:
    """Return every object."""
    files = render_files(values, name)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [item for text in texts for item in yaml.load_all(text, loader) if item]


@functools.cache
def render_example(name: str) -> list[Item]:
    """Return every object of a values file that is tried."""
    return render(load_values(name))


def load_values(name: str) -> Item:
    values: Item = yaml.safe_load(EXAMPLES[name].read_text())
    return values


def find(items: list[Item], kind: str, name: str) -> Item:
    return next(item for item in items if (item["kind"], item["metadata"]["name"]) == (kind, name))


def list_names(items: list[Item], kind: str) -> set[str]:
    return {item["metadata"]["name"] for item in items if item["kind"] == kind}


def list_pods(items: list[Item]) -> Iterator[tuple[str, Item, Item]]:
    """Name, labels and spec of every pod, a Job's and a test's included."""
    for item in items:
        if "template" in item.get("spec", {}):
            template = item["spec"]["template"]
            yield item["metadata"]["name"], template["metadata"]["labels"], template["spec"]
        elif item["kind"] == "Pod":
            yield item["metadata"]["name"], item["metadata"]["labels"], item["spec"]


def get_pod(items: list[Item], name: str) -> Item:
    return next(pod for found, _, pod in list_pods(items) if found == name)


def get_environment(pod: Item) -> dict[str, Any]:
    return {entry["name"]: entry.get("value") for entry in pod["containers"][0].get("env", [])}


def refuse(values: Item) -> str:
    """Return why values are refused. Fails where they are not."""
    with pytest.raises(helm.HelmError) as refused:
        render(values)
    return str(refused.value)
