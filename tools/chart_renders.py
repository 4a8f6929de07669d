"""Write what the chart becomes, or check that what is committed is that.

Every values file that is tried becomes a file of tests/unit/charts/golden/, so that a change of the chart shows what
it changes; the default becomes k8s/rendered/, for `kubectl apply -k` without Helm.

Usage: python tools/chart_renders.py [--check]
"""

import sys
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "flobc"
GOLDEN = ROOT / "tests" / "unit" / "charts" / "golden"
RENDERED = ROOT / "k8s" / "rendered"
NAMESPACE = "flobc"
HEADING = "# Made by `make charts`; not to be edited.\n"
CUSTOMISATION = {
    "apiVersion": "kustomize.config.k8s.io/v1beta1",
    "kind": "Kustomization",
    "namespace": NAMESPACE,
    "resources": ["../namespace.yaml", "flobc.yaml"],
}

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Many times as fast as the one in Python, where libyaml is there; for writing the two differ in where lines end."""

Item = dict[str, Any]


def list_values() -> dict[str, Path]:
    """Return the values files that are tried, by name."""
    files = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
    return files | {"kind": ROOT / "k8s" / "values-kind.yaml"}


def render(chart: helm_python.Chart, values: Item, name: str, namespace: str) -> list[Item]:
    """Return every object, in the order of its template's name."""
    files = chart.render(values, name=name, namespace=namespace)
    return [
        item
        for path in sorted(files)
        if path.endswith(".yaml")
        for item in yaml.load_all(files[path], LOADER)
        if item is not None
    ]


def name_scripts(item: Item) -> Item:
    """Return a ConfigMap with the names of files in the place of their content, which is in the chart itself."""
    files = CHART / "files"
    texts = [path for path in files.rglob("*.*") if path.suffix != ".pyc"]
    contents = {path.read_text(encoding="utf-8").strip(): path.relative_to(files) for path in texts}
    if item["kind"] != "ConfigMap":
        return item
    data = {
        key: f"files/{contents[text.strip()]}" if text.strip() in contents else text
        for key, text in item["data"].items()
    }
    return item | {"data": data}


def dump(items: list[Item]) -> str:
    """Return objects as one YAML file."""
    return HEADING + yaml.safe_dump_all(items, sort_keys=False, default_flow_style=None, width=120, explicit_start=True)


def build() -> dict[Path, str]:
    """Return every file's text."""
    with helm_python.Chart.load(str(CHART)) as chart:
        found = {
            GOLDEN / f"{name}.yaml": dump(
                [name_scripts(item) for item in render(chart, yaml.safe_load(path.read_text()), "r1", "prod")]
            )
            for name, path in list_values().items()
        }
        items = [item for item in render(chart, {}, NAMESPACE, NAMESPACE) if not is_test(item)]
    found[RENDERED / "flobc.yaml"] = dump(items)
    found[RENDERED / "kustomization.yaml"] = HEADING + yaml.safe_dump(CUSTOMISATION, sort_keys=False)
    return found


def is_test(item: Item) -> bool:
    """Whether an object is there for `helm test` alone."""
    return bool(item["metadata"]["labels"]["app.kubernetes.io/component"] == "test")


def main(arguments: list[str]) -> int:
    """Write the files, or compare; 1 when they differ."""
    fresh = build()
    there = {path for folder in (GOLDEN, RENDERED) for path in folder.glob("*.yaml")}
    different = sorted(
        path
        for path in fresh.keys() | there
        if path not in there or fresh.get(path) != path.read_text(encoding="utf-8")
    )
    if "--check" in arguments:
        for path in different:
            print(f"{path.relative_to(ROOT)} is not what the chart becomes; look at the change and run `make charts`.")
        return 1 if different else 0
    for path in different:
        if path in fresh:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(fresh[path], encoding="utf-8")
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
